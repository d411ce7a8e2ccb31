-- A page of an endpoint's transformations, oldest first.
SELECT t.version, t.created_at_ms, CASE WHEN :with_code THEN t.code END
FROM endpoints AS e CROSS JOIN transformations AS t ON t.endpoint_seq = e.seq
WHERE e.id = :endpoint_id AND t.version > :above AND t.version < :below ORDER BY t.version LIMIT :limit
