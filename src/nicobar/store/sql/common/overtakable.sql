-- Deliveries of an endpoint that fail for long and hold up their customer, though the destination takes others: since the first
-- failure three other deliveries succeeded, or it responds and no other failed, as far as the latest attempts say. Those that
-- are due, or were hastened after an outage, are attempted first.
WITH latest AS MATERIALIZED (
    SELECT message_seq, state, started_at_ms FROM attempts WHERE endpoint_seq = :endpoint_seq ORDER BY id DESC LIMIT :look
), successes AS MATERIALIZED (
    SELECT max(started_at_ms) AS at_ms FROM latest WHERE state = 'success' GROUP BY message_seq ORDER BY 1 DESC LIMIT 3
)
SELECT d.message_seq, d.customer_key, m.id, d.failing_since_ms
FROM deliveries AS d {then_join} messages AS m ON m.seq = d.message_seq
WHERE d.endpoint_seq = :endpoint_seq AND d.failing_since_ms <= :before_ms AND d.customer_key IS NOT NULL
    AND d.state = 'pending' AND d.due_at_ms > :now_ms AND d.back_at_ms IS NULL
    AND {lease_has_term}
    AND (
        (SELECT count(*) FROM successes WHERE at_ms >= d.failing_since_ms) >= 3
        OR :responds AND NOT EXISTS (
            SELECT 1 FROM latest
            WHERE message_seq <> d.message_seq AND started_at_ms >= d.failing_since_ms AND state IN ('pending', 'failed')
        )
    )
ORDER BY d.failing_since_ms, d.message_seq LIMIT :limit
