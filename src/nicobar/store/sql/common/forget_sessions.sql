-- Deletes expired sessions; there are few.
DELETE FROM sessions WHERE expires_at_ms <= :now_ms
