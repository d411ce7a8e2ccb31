AND (CAST(:app_id AS TEXT) IS NULL OR app_id = :app_id) AND (CAST(:actor AS TEXT) IS NULL OR actor = :actor)
    AND ({none actions} OR action {any_of actions}) AND (CAST(:subject AS TEXT) IS NULL OR subject = :subject)
    AND (CAST(:since_ms AS BIGINT) IS NULL OR at_ms >= :since_ms) AND (CAST(:until_ms AS BIGINT) IS NULL OR at_ms < :until_ms)
