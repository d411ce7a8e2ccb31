-- All leases.
SELECT name, holder, term FROM leases
