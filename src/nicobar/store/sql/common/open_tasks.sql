-- The background tasks that are running or being canceled, oldest first.
SELECT {task} FROM tasks WHERE status IN ('running', 'canceling') ORDER BY seq
