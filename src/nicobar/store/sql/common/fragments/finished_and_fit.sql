AND d.state {any_of states} AND d.state IN ('success', 'failed', 'canceled')
    AND coalesce(d.task_seq, 0) <> :task_seq AND (CAST(:failure AS TEXT) IS NULL OR d.failure = :failure)
