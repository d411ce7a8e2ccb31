-- All workers with their beats.
SELECT id, beat FROM workers
