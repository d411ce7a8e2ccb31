-- Counts attempts in their five minutes, except those of alerts.
INSERT INTO tallies (endpoint_seq, at_ms, event_type, state, attempts, duration_ms, latency_ms, latency_max_ms,
    warned)
SELECT a.endpoint_seq, a.ended_at_ms / :tally_ms * :tally_ms, m.event_type, a.state, count(*),
    CAST(sum(a.duration_ms) AS bigint), CAST(sum(greatest(0, a.ended_at_ms - m.accepted_at_ms)) AS bigint),
    max(greatest(0, a.ended_at_ms - m.accepted_at_ms)), count(*) FILTER (WHERE a.warned)
FROM unnest(CAST(:message_seqs AS bigint[]), CAST(:endpoint_seqs AS bigint[]), CAST(:ended_at_ms AS bigint[]),
    CAST(:states AS text[]), CAST(:duration_ms AS bigint[]), CAST(:warned AS boolean[]))
    AS a (message_seq, endpoint_seq, ended_at_ms, state, duration_ms, warned)
    JOIN messages AS m ON m.seq = a.message_seq AND m.source_id <> 'operational'
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
ON CONFLICT (endpoint_seq, at_ms, event_type, state) DO UPDATE SET attempts = tallies.attempts + excluded.attempts,
    duration_ms = tallies.duration_ms + excluded.duration_ms, latency_ms = tallies.latency_ms + excluded.latency_ms,
    latency_max_ms = greatest(tallies.latency_max_ms, excluded.latency_max_ms),
    warned = tallies.warned + excluded.warned
