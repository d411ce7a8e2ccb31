-- Replaces the event id of a message.
UPDATE messages SET event_id = :event_id WHERE seq = :seq
