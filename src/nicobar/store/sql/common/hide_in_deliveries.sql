-- Masks some values in the reasons of deliveries of an application.
UPDATE deliveries SET reason = regexp_replace(reason, :pattern, :mask, 'g'), failure = regexp_replace(failure, :pattern, :mask, 'g')
WHERE endpoint_seq IN (SELECT seq FROM endpoints WHERE app_id = :app_id)
    AND (reason <> regexp_replace(reason, :pattern, :mask, 'g') OR failure <> regexp_replace(failure, :pattern, :mask, 'g'))
