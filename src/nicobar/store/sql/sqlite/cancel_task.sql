-- Asks a running replay to stop.
UPDATE tasks SET status = 'canceling', updated_at_ms = :now_ms WHERE id = :id AND status = 'running'
