-- Takes the place of the one process that delivers, until the connection ends, if it is free; returns whether it was. The
-- lock is not that of migrations, which other processes may make meanwhile.
SELECT pg_try_advisory_lock(1851941235)
