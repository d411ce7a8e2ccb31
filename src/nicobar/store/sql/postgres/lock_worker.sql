-- Takes the place of the one process that delivers, until the connection ends; whether it was free.
SELECT pg_try_advisory_lock(1851941234)
