-- Whether this is the link that sets the owner's password.
SELECT 1 FROM setup_links WHERE id = 1 AND sha256 = :sha256 AND expires_at_ms > :now_ms
