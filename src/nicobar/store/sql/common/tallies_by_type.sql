-- Counts of an application's attempts by event type and state.
SELECT t.event_type, {tallies}
