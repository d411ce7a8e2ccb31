-- Adds a target of alerts, or replaces the one with its id.
INSERT INTO alert_targets (id, name, sealed, content) VALUES (:id, :name, :sealed, :content)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, sealed = excluded.sealed, content = excluded.content
