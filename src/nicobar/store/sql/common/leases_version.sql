-- A number that changes with every change of a lease.
SELECT CAST(coalesce(sum(term), 0) AS bigint) FROM leases
