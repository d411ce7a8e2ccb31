-- Uses the link up; a row comes back where it was good.
DELETE FROM setup_links WHERE id = 1 AND sha256 = :sha256 AND expires_at_ms > :now_ms RETURNING 1
