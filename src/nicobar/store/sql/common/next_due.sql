-- When the next delivery of an endpoint becomes due or its lease ends.
SELECT (
    SELECT due_at_ms FROM deliveries
    WHERE endpoint_seq = e.seq AND due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT 1
)
FROM endpoints AS e WHERE e.seq = :endpoint_seq AND NOT e.removed
