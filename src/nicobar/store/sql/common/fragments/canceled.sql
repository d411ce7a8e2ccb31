state = 'canceled', due_at_ms = NULL, lease = lease + 1, reason = :reason, ended_at_ms = :now_ms, was = NULL
