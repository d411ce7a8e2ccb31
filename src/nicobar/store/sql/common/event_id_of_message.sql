-- The event id of a message.
SELECT event_id FROM messages WHERE seq = :seq
