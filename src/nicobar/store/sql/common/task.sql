-- One background task.
SELECT {task} FROM tasks WHERE id = :id
