-- All versions of an endpoint's transformation, the newest first.
SELECT t.version, t.code, t.created_at_ms
FROM transformations AS t JOIN endpoints AS e ON e.seq = t.endpoint_seq
WHERE e.id = :endpoint_id ORDER BY t.version DESC
