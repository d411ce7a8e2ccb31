t.state, CAST(sum(t.attempts) AS BIGINT), CAST(sum(t.duration_ms) AS BIGINT), CAST(sum(t.latency_ms) AS BIGINT),
    max(t.latency_max_ms), CAST(sum(t.warned) AS BIGINT)
FROM endpoints AS e {then_join} tallies AS t ON t.endpoint_seq = e.seq
WHERE e.app_id = :app_id AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
    AND t.at_ms >= :since_ms AND t.at_ms < :until_ms
    AND ({none event_types} OR t.event_type {any_of event_types})
GROUP BY 1, 2 ORDER BY 1, 2
