-- Adds the user, or gives the one of that name another password.
INSERT INTO users (id, name, role, password_hash, created_at_ms)
VALUES (:id, :name, :role, :password_hash, :created_at_ms)
ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash
RETURNING id
