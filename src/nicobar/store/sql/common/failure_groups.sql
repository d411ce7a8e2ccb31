-- An application's failed deliveries grouped by what they have in common, the latest first.
WITH failures AS (
    SELECT d.endpoint_seq, d.failure, count(*) AS count, min(d.message_seq) AS first_seq,
        max(d.message_seq) AS last_seq, min(d.ended_at_ms) AS first_at_ms, max(d.ended_at_ms) AS last_at_ms
    FROM endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq AND d.state = 'failed'
        {then_join} messages AS m ON m.seq = d.message_seq AND m.source_id <> 'operational'
    WHERE e.app_id = :app_id AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
    GROUP BY d.endpoint_seq, d.failure
)
SELECT e.id, g.failure, g.count, coalesce(g.first_at_ms, f.accepted_at_ms), coalesce(g.last_at_ms, l.accepted_at_ms),
    coalesce(d.reason, ''), l.id
FROM failures AS g {then_join} endpoints AS e ON e.seq = g.endpoint_seq
    {then_join} messages AS f ON f.seq = g.first_seq {then_join} messages AS l ON l.seq = g.last_seq
    {then_join} deliveries AS d ON d.message_seq = g.last_seq AND d.endpoint_seq = g.endpoint_seq
ORDER BY 5 DESC, e.seq, g.failure LIMIT 500
