-- Gives a lease to a worker, if no other worker has it, and if the worker has not been removed.
UPDATE leases SET holder = :worker_id, term = term + 1
WHERE name = :name AND NOT EXISTS (SELECT 1 FROM workers WHERE id = leases.holder)
    AND EXISTS (SELECT 1 FROM workers WHERE id = :worker_id){no_older_version_delivers}
RETURNING term
