-- Counts of an application's attempts by endpoint and state.
SELECT e.id, {tallies}
