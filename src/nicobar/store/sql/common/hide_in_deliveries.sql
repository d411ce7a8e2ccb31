-- Masks some values in the reasons of deliveries of messages to an application's endpoints.
UPDATE deliveries SET reason = regexp_replace(reason, :pattern, :mask, 'g'), failure = regexp_replace(failure, :pattern, :mask, 'g')
WHERE message_seq {any_number_of message_seqs} AND endpoint_seq IN (SELECT seq FROM endpoints WHERE app_id = :app_id)
    AND (reason <> regexp_replace(reason, :pattern, :mask, 'g') OR failure <> regexp_replace(failure, :pattern, :mask, 'g'))
