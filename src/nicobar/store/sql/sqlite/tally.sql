-- Counts a try among those of its five minutes; those of alerts are not an application's.
INSERT INTO tallies (endpoint_seq, at_ms, event_type, state, attempts, duration_ms, latency_ms, latency_max_ms)
SELECT :endpoint_seq, :at_ms, event_type, :state, 1, :duration_ms, max(0, :ended_at_ms - accepted_at_ms),
    max(0, :ended_at_ms - accepted_at_ms)
FROM messages WHERE seq = :message_seq AND source_id <> 'operational'
ON CONFLICT (endpoint_seq, at_ms, event_type, state) DO UPDATE SET attempts = attempts + 1,
    duration_ms = duration_ms + excluded.duration_ms, latency_ms = latency_ms + excluded.latency_ms,
    latency_max_ms = max(latency_max_ms, excluded.latency_max_ms)
