seq, id, app_id, endpoint_seq, endpoint_id, rule, status, reason, created_at_ms, updated_at_ms
