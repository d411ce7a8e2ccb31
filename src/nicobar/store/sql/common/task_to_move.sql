-- One background task, which nobody else moves until the transaction ends.
SELECT {task} FROM tasks WHERE id = :id {for_update}
