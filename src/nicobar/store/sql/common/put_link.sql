-- Stores the password link of a user; the previous one is replaced.
INSERT INTO links (name, sha256, role, created_at_ms, expires_at_ms)
VALUES (:name, :sha256, :role, :created_at_ms, :expires_at_ms)
ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, role = excluded.role,
    created_at_ms = excluded.created_at_ms, expires_at_ms = excluded.expires_at_ms
