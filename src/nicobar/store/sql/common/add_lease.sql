-- Adds a lease that no worker has, if it does not exist.
INSERT INTO leases (name, holder, term) VALUES (:name, '', 0) ON CONFLICT (name) DO NOTHING
