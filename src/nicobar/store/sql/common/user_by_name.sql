-- The user with a name.
SELECT id, name, role, password_hash, created_at_ms FROM users WHERE name = :name
