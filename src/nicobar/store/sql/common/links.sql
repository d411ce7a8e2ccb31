-- The valid links.
SELECT {link} FROM links WHERE expires_at_ms > :now_ms ORDER BY name
