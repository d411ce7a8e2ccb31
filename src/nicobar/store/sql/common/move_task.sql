-- Stores the progress of a task.
UPDATE tasks SET status = :status, after_seq = :after_seq, moved = :moved, updated_at_ms = :now_ms WHERE id = :id
