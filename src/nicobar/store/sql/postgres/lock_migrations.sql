-- Lets one process at a time migrate, until the transaction ends. The number spells "nbar".
SELECT pg_advisory_xact_lock(1851941234)
