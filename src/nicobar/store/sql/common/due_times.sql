-- When the next delivery of each endpoint becomes due or its lease ends; one look into the index for each endpoint.
SELECT e.seq, (
    SELECT due_at_ms FROM deliveries
    WHERE endpoint_seq = e.seq AND due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT 1
)
FROM endpoints AS e WHERE NOT e.removed
