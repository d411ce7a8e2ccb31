-- When the next delivery of an endpoint becomes due or its lease ends.
SELECT d.due_at_ms FROM endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq
WHERE e.seq = :endpoint_seq AND NOT e.removed AND d.due_at_ms IS NOT NULL
ORDER BY d.due_at_ms LIMIT 1
