-- Removes all workers but one, where it is certain that they do not run.
DELETE FROM workers WHERE id <> :id
