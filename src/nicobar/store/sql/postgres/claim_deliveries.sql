-- Leases deliveries that are due, the longest due first, and those whose lease has expired: at most `limit`, whose bodies
-- together have at most `max_bytes` (the first always fits). One whose lease has expired may have been sent. None where the
-- endpoint's lease has another term.
WITH due AS (
    SELECT d.message_seq, d.due_at_ms, octet_length(m.body) AS size_bytes
    FROM deliveries AS d JOIN messages AS m ON m.seq = d.message_seq
    WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms <= :now_ms AND d.position <> 0
        AND EXISTS (SELECT 1 FROM endpoints WHERE seq = :endpoint_seq AND NOT removed)
        AND {lease_has_term}
    ORDER BY d.due_at_ms, d.message_seq LIMIT :limit
), chosen AS (
    SELECT message_seq, due_at_ms, row_number() OVER (ORDER BY due_at_ms, message_seq) AS number,
        sum(size_bytes) OVER (ORDER BY due_at_ms, message_seq) AS together_bytes
    FROM due
), leased AS (
    UPDATE deliveries AS d SET state = 'sending', lease = d.lease + 1, due_at_ms = :ends_at_ms,
        was = CASE WHEN d.state = 'pending' THEN d.was END
    FROM chosen AS c
    WHERE d.endpoint_seq = :endpoint_seq AND d.message_seq = c.message_seq
        AND (c.number = 1 OR c.together_bytes <= :max_bytes)
    RETURNING d.message_seq, d.tries, d.lease, d.edition, d.manual, d.replay_key, d.accepted_ids, d.half_sent, c.number,
        {setbacks}
)
SELECT {message}, l.tries, l.lease, l.edition, l.manual, l.replay_key, l.accepted_ids, l.half_sent,
    l.failing_since_ms, l.failed_at_ms, l.back_at_ms, l.overtaken_at_ms, l.throttled_since_ms, l.throttling_shown_at_ms
FROM leased AS l JOIN messages AS m ON m.seq = l.message_seq
ORDER BY l.number
