-- The next attempts at an application's endpoints that have one of some values.
SELECT id, content FROM attempts
WHERE endpoint_seq IN (SELECT seq FROM endpoints WHERE app_id = :app_id) AND id > :after AND {has_bytes content}
ORDER BY id LIMIT :limit
