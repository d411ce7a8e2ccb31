-- Counts of an application's tries by event type and state.
SELECT t.event_type, t.state, sum(t.attempts), sum(t.duration_ms), sum(t.latency_ms), max(t.latency_max_ms)
FROM endpoints AS e CROSS JOIN tallies AS t ON t.endpoint_seq = e.seq
WHERE e.app_id = :app_id AND (:endpoint_id IS NULL OR e.id = :endpoint_id)
    AND t.at_ms >= :since_ms AND t.at_ms < :until_ms
    AND (:event_types = '[]' OR t.event_type IN (SELECT value FROM json_each(:event_types)))
GROUP BY 1, 2 ORDER BY 1, 2
