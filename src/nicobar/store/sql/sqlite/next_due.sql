-- When the next delivery of an endpoint becomes due or its lease ends.
SELECT due_at_ms FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND due_at_ms IS NOT NULL
    AND EXISTS (SELECT 1 FROM endpoints WHERE seq = :endpoint_seq AND removed = 0)
ORDER BY due_at_ms LIMIT 1
