-- All users, by name.
SELECT id, name, role, password_hash, created_at_ms FROM users ORDER BY name
