-- Uses the link up; a row comes back where it was good and this user's.
DELETE FROM links WHERE sha256 = :sha256 AND name = :name AND expires_at_ms > :now_ms RETURNING 1
