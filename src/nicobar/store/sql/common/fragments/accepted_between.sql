AND (CAST(:since_ms AS BIGINT) IS NULL OR m.accepted_at_ms >= :since_ms) AND (CAST(:until_ms AS BIGINT) IS NULL OR m.accepted_at_ms < :until_ms)
