-- Masks some values in the reasons for which destinations count as failing of an application.
UPDATE breakers SET content = regexp_replace(content, :pattern, :mask, 'g')
WHERE endpoint_seq IN (SELECT seq FROM endpoints WHERE app_id = :app_id)
    AND content <> regexp_replace(content, :pattern, :mask, 'g')
