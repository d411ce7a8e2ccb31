seq, id, app_id, endpoint_seq, endpoint_id, kind, status, filter, new_ids, after_seq, until_seq, expected, moved,
    created_at_ms, updated_at_ms, result
