-- Takes an event type out.
DELETE FROM event_types WHERE name = :name RETURNING name
