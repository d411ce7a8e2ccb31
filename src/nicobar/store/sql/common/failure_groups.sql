-- Failed deliveries grouped by what they have in common, the latest first.
SELECT e.id, g.failure, g.count, coalesce(g.first_at_ms, f.accepted_at_ms), coalesce(g.last_at_ms, l.accepted_at_ms),
    coalesce(d.reason, ''), l.id
FROM (
    SELECT d.endpoint_seq, d.failure, count(*) AS count, min(d.message_seq) AS first_seq,
        max(d.message_seq) AS last_seq, min(d.ended_at_ms) AS first_at_ms, max(d.ended_at_ms) AS last_at_ms
    FROM deliveries AS d {then_join} messages AS m ON m.seq = d.message_seq
    WHERE d.state = 'failed' AND m.source_id <> 'operational' GROUP BY d.endpoint_seq, d.failure
) AS g JOIN endpoints AS e ON e.seq = g.endpoint_seq
    JOIN messages AS f ON f.seq = g.first_seq JOIN messages AS l ON l.seq = g.last_seq
    JOIN deliveries AS d ON d.message_seq = g.last_seq AND d.endpoint_seq = g.endpoint_seq
WHERE e.app_id = :app_id AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
ORDER BY 5 DESC, e.seq, g.failure LIMIT 500
