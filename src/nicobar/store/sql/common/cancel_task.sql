-- Cancels a running task, or a replay of whose deliveries some were not tried yet.
UPDATE tasks SET status = 'canceling', updated_at_ms = :now_ms
WHERE id = :id AND (status = 'running' OR status = 'finished' AND EXISTS (
    SELECT 1 FROM deliveries WHERE task_seq = tasks.seq AND was IS NOT NULL
))
