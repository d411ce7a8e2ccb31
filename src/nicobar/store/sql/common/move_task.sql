-- Says how far a replay is.
UPDATE tasks SET status = :status, after_seq = :after_seq, moved = :moved, updated_at_ms = :now_ms WHERE id = :id
