-- Deletes an event type.
DELETE FROM event_types WHERE name = :name RETURNING name
