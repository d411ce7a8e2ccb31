-- Makes this the one link that sets the owner's password; the one before it ends.
INSERT INTO setup_links (id, sha256, expires_at_ms) VALUES (1, :sha256, :expires_at_ms)
ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, expires_at_ms = excluded.expires_at_ms
