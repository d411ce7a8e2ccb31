-- Holds some leases until the transaction ends, in one order, so that no two wait for each other.
SELECT name FROM leases WHERE name {any_of names} ORDER BY name {for_update}
