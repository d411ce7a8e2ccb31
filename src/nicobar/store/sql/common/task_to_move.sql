-- One background task, which no other transaction moves until the transaction ends.
SELECT {task} FROM tasks WHERE id = :id {for_update}
