-- Adds the user, or gives the one of that name the password and the role of their link.
INSERT INTO users (id, name, role, password_hash, created_at_ms)
VALUES (:id, :name, :role, :password_hash, :created_at_ms)
ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role
RETURNING id
