-- All tokens.
SELECT name, sha256, created_at_ms, revoked_at_ms FROM tokens ORDER BY name
