-- Removes a worker, unless its beat has changed.
DELETE FROM workers WHERE id = :id AND beat = :beat
