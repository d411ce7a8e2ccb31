-- Stores which message came first under an event id, unless one had.
INSERT INTO event_ids (app_id, event_id, message_id) VALUES (:app_id, :event_id, :id)
ON CONFLICT (app_id, event_id) DO NOTHING
