-- The term of a lease.
SELECT term FROM leases WHERE name = :name
