-- Stores that the message which a process of version 10 has stored came first under its event id.
UPDATE event_ids SET message_id = (SELECT id FROM messages WHERE app_id = :app_id AND event_id = :event_id)
WHERE app_id = :app_id AND event_id = :event_id
