-- Consumes the link; returns a row if it was valid and this user's.
DELETE FROM links WHERE sha256 = :sha256 AND name = :name AND expires_at_ms > :now_ms RETURNING 1
