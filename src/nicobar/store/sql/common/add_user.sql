-- Adds the user, unless there is one of that name.
INSERT INTO users (id, name, role, password_hash, created_at_ms)
VALUES (:id, :name, :role, :password_hash, :created_at_ms)
ON CONFLICT (name) DO NOTHING
RETURNING id
