-- The message that holds an event id.
SELECT id, source_id, body FROM messages WHERE app_id = :app_id AND event_id = :event_id
