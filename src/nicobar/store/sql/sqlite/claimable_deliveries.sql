-- What a claim leases, in this order: new deliveries up to their share, then by acceptance. The second part comes from
-- those due longest, whose lease may have expired, and from those behind them, which follow one that was not attempted. Last
-- come those that were held behind another, and are not claimed (is_behind). The endpoint comes first: of a removed one
-- nothing is read. None where the endpoint's lease has another term. What is due longest is all that is due where it is
-- fewer than `limit`. Messages are read one by one, as their bodies may be large. What is behind is cut in the index's order.
WITH heads AS MATERIALIZED (
    SELECT d.message_seq, d.customer_key, d.position, d.tries, {is_first} AS is_first
    FROM endpoints AS e CROSS JOIN deliveries AS d ON d.endpoint_seq = e.seq
    WHERE e.seq = :endpoint_seq AND NOT e.removed AND d.due_at_ms <= :now_ms AND {lease_has_term}
    ORDER BY d.due_at_ms, d.message_seq LIMIT :limit
), bounds AS MATERIALIZED (
    SELECT CASE WHEN count(*) < :limit THEN 9223372036854775807 ELSE max(position) END AS last_position,
        count(*) < :limit AS has_all FROM heads
), chosen AS MATERIALIZED (
    SELECT message_seq, min(part) AS part, position FROM (
        SELECT * FROM (
            SELECT d.message_seq, 0 AS part, d.position FROM deliveries AS d INDEXED BY deliveries_new
            WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms > :new_after_ms AND d.due_at_ms <= :now_ms AND {is_new}
            ORDER BY d.due_at_ms, d.message_seq LIMIT CASE WHEN (SELECT has_all FROM bounds) THEN 0 ELSE :oldest_new END
        )
        UNION ALL SELECT * FROM (
            SELECT d.message_seq, 0, d.position FROM deliveries AS d INDEXED BY deliveries_new
            WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms > :new_after_ms AND d.due_at_ms <= :now_ms AND {is_new}
            ORDER BY d.due_at_ms DESC, d.message_seq DESC
            LIMIT CASE WHEN (SELECT has_all FROM bounds) THEN 0 ELSE :newest_new END
        )
        UNION ALL SELECT message_seq, 1, position FROM heads WHERE is_first
        UNION ALL SELECT * FROM (
            SELECT d.message_seq, 1, d.position
            FROM heads AS h CROSS JOIN deliveries AS d INDEXED BY deliveries_unfinished ON d.endpoint_seq = :endpoint_seq
                AND d.customer_key = h.customer_key AND d.state IN ('pending', 'sending')
                AND (d.position, d.message_seq) > (h.position, h.message_seq)
                AND d.position <= (SELECT last_position FROM bounds)
            WHERE h.is_first AND h.tries = 0 AND (d.state = 'pending' OR d.due_at_ms <= :now_ms) LIMIT :behind
        )
    ) GROUP BY message_seq ORDER BY part, position, message_seq LIMIT :limit
)
SELECT {message}, d.tries, d.lease, d.edition, d.manual, d.replay_key, d.accepted_ids, d.half_sent, d.customer_key,
    (SELECT version FROM catalogue) AS catalogue_version, c.part = 2 AS is_behind,
    {setbacks}
FROM (
    SELECT message_seq, part, position FROM chosen
    UNION ALL
    SELECT message_seq, 2, position FROM heads WHERE NOT is_first AND message_seq NOT IN (SELECT message_seq FROM chosen)
    ORDER BY part, position, message_seq LIMIT 2 * :limit
) AS c CROSS JOIN deliveries AS d ON d.message_seq = c.message_seq AND d.endpoint_seq = :endpoint_seq
    CROSS JOIN messages AS m ON m.seq = c.message_seq
