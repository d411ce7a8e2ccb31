-- Leases deliveries: new ones up to their share, then by acceptance, together at most `limit`, whose bodies together have
-- at most `max_bytes` (the first always fits). The second part comes from those due longest, whose lease may have expired,
-- and from those behind them, which follow one that was not attempted. What was held behind another and is not leased waits
-- for that one again; it may have been sent. None where the endpoint's lease has another term. What is due longest is all
-- that is due where it is fewer than `limit`.
WITH heads AS MATERIALIZED (
    SELECT d.message_seq, d.customer_key, d.position, d.due_at_ms, d.tries, {is_first} AS is_first
    FROM deliveries AS d
    WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms <= :now_ms AND d.position <> 0
        AND EXISTS (SELECT 1 FROM endpoints WHERE seq = :endpoint_seq AND NOT removed)
        AND {lease_has_term}
    ORDER BY d.due_at_ms, d.message_seq LIMIT :limit
), bounds AS MATERIALIZED (
    SELECT CASE WHEN count(*) < :limit THEN 9223372036854775807 ELSE max(position) END AS last_position,
        count(*) < :limit AS has_all
    FROM heads
), chosen AS MATERIALIZED (
    SELECT message_seq, position, min(part) AS part,
        row_number() OVER (ORDER BY min(part), position, message_seq) AS number
    FROM (
        (SELECT d.message_seq, d.position, 0 AS part FROM deliveries AS d
        WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms > :new_after_ms AND d.due_at_ms <= :now_ms
            AND d.position <> 0 AND {is_new}
        ORDER BY d.due_at_ms, d.message_seq
        LIMIT CASE WHEN (SELECT has_all FROM bounds) THEN 0 ELSE CAST(:oldest_new AS bigint) END)
        UNION ALL
        (SELECT d.message_seq, d.position, 0 FROM deliveries AS d
        WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms > :new_after_ms AND d.due_at_ms <= :now_ms
            AND d.position <> 0 AND {is_new}
        ORDER BY d.due_at_ms DESC, d.message_seq DESC
        LIMIT CASE WHEN (SELECT has_all FROM bounds) THEN 0 ELSE CAST(:newest_new AS bigint) END)
        UNION ALL
        SELECT message_seq, position, 1 FROM heads WHERE is_first
        UNION ALL
        (SELECT b.message_seq, b.position, 1
        FROM (
            SELECT customer_key, position, message_seq FROM heads WHERE is_first AND tries = 0 AND customer_key IS NOT NULL
            ORDER BY due_at_ms, message_seq
        ) AS h CROSS JOIN LATERAL (
            SELECT d.message_seq, d.position FROM deliveries AS d
            WHERE d.endpoint_seq = :endpoint_seq AND d.customer_key = h.customer_key AND d.state IN ('pending', 'sending')
                AND (d.position, d.message_seq) > (h.position, h.message_seq)
                AND d.position <= (SELECT last_position FROM bounds)
                AND (d.state = 'pending' OR d.due_at_ms <= :now_ms)
            ORDER BY d.position, d.message_seq LIMIT :behind
        ) AS b LIMIT :behind)
    ) AS c GROUP BY message_seq, position ORDER BY number LIMIT :limit
), sized AS (
    SELECT c.message_seq, c.number, sum(octet_length(m.body)) OVER (ORDER BY c.number) AS together_bytes
    FROM chosen AS c JOIN messages AS m ON m.seq = c.message_seq
), moved AS (
    UPDATE deliveries AS d SET state = CASE WHEN s.number IS NULL THEN 'pending' ELSE 'sending' END, lease = d.lease + 1,
        due_at_ms = CASE WHEN s.number IS NOT NULL THEN CAST(:ends_at_ms AS bigint) END,
        was = CASE WHEN s.number IS NOT NULL AND d.state = 'pending' THEN d.was END
    FROM (
        SELECT message_seq, number FROM sized WHERE number = 1 OR together_bytes <= :max_bytes
        UNION ALL
        SELECT message_seq, NULL FROM heads
        WHERE NOT is_first AND message_seq NOT IN (SELECT message_seq FROM chosen)
    ) AS s
    WHERE d.endpoint_seq = :endpoint_seq AND d.message_seq = s.message_seq
    RETURNING d.message_seq, d.tries, d.lease, d.edition, d.manual, d.replay_key, d.accepted_ids, d.half_sent,
        d.customer_key, s.number,
        {setbacks}
)
SELECT {message}, l.tries, l.lease, l.edition, l.manual, l.replay_key, l.accepted_ids, l.half_sent, l.customer_key,
    (SELECT version FROM catalogue) AS catalogue_version,
    l.failing_since_ms, l.failed_at_ms, l.back_at_ms, l.overtaken_at_ms, l.throttled_since_ms, l.throttling_shown_at_ms
FROM moved AS l JOIN messages AS m ON m.seq = l.message_seq
WHERE l.number IS NOT NULL
ORDER BY l.number
