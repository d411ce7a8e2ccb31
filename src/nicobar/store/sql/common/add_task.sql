-- Adds a background task; it covers the messages that are there now.
INSERT INTO tasks (id, app_id, endpoint_seq, endpoint_id, kind, status, filter, new_ids, after_seq, until_seq, expected,
    moved, created_at_ms, updated_at_ms, result)
VALUES (:id, :app_id, :endpoint_seq, :endpoint_id, :kind, :status, :filter, :new_ids, 0,
    (SELECT coalesce(max(seq), 0) FROM messages), :expected, 0, :created_at_ms, :created_at_ms, :result)
