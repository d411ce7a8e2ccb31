-- Adds an event type, or replaces the one of its name.
INSERT INTO event_types (app_id, name, content) VALUES (:app_id, :name, :content)
ON CONFLICT (app_id, name) DO UPDATE SET content = excluded.content
