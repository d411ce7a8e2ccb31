-- The valid links.
SELECT name, sha256, role, created_at_ms, expires_at_ms FROM links WHERE expires_at_ms > :now_ms ORDER BY name
