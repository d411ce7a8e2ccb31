-- Stores a session.
INSERT INTO sessions (sha256, user_id, created_at_ms, expires_at_ms)
VALUES (:sha256, :user_id, :created_at_ms, :expires_at_ms)
