-- All workers with their beats, and whether they are about to end.
SELECT id, beat, leaving FROM workers
