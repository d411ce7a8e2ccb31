-- Removes a worker, which holds nothing from then on.
DELETE FROM workers WHERE id = :id
