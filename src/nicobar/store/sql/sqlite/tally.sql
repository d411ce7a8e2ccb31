-- Counts an attempt in its five minutes, unless it is of an alert.
INSERT INTO tallies (endpoint_seq, at_ms, event_type, state, attempts, duration_ms, latency_ms, latency_max_ms,
    warned)
SELECT :endpoint_seq, :at_ms, event_type, :state, 1, :duration_ms, max(0, :ended_at_ms - accepted_at_ms),
    max(0, :ended_at_ms - accepted_at_ms), :warned
FROM messages WHERE seq = :message_seq AND source_id <> 'operational'
ON CONFLICT (endpoint_seq, at_ms, event_type, state) DO UPDATE SET attempts = tallies.attempts + 1,
    duration_ms = tallies.duration_ms + excluded.duration_ms, latency_ms = tallies.latency_ms + excluded.latency_ms,
    latency_max_ms = max(tallies.latency_max_ms, excluded.latency_max_ms), warned = tallies.warned + excluded.warned
