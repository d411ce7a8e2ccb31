-- The next messages whose deliveries to an application's endpoints have one of some values in their reasons.
SELECT DISTINCT message_seq FROM deliveries
WHERE endpoint_seq IN (SELECT seq FROM endpoints WHERE app_id = :app_id) AND message_seq > :after_seq
    AND ({has_value reason} OR {has_value failure})
ORDER BY message_seq LIMIT :limit
