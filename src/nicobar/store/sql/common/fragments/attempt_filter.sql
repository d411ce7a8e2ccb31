AND (CAST(:since_ms AS BIGINT) IS NULL OR a.started_at_ms >= :since_ms) AND (CAST(:until_ms AS BIGINT) IS NULL OR a.started_at_ms < :until_ms)
    AND ({none states} OR a.state {any_of states})
    AND (CAST(:status_class AS BIGINT) IS NULL OR coalesce(a.status, 0) / 100 = :status_class)
    {of_kind}
    {without_alerts}
