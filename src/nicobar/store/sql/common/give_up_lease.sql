-- Takes a lease from the worker that has it.
UPDATE leases SET holder = '', term = term + 1 WHERE name = :name AND holder = :worker_id RETURNING term
