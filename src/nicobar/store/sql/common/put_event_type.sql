-- Adds an event type, or replaces the one of its name.
INSERT INTO event_types (name, content) VALUES (:name, :content)
ON CONFLICT (name) DO UPDATE SET content = excluded.content
