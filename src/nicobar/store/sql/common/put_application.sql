-- Adds an application, or replaces the one with its id.
INSERT INTO applications (id, uid, content) VALUES (:id, :uid, :content)
ON CONFLICT (id) DO UPDATE SET uid = excluded.uid, content = excluded.content
