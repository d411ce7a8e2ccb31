-- All tokens, the oldest first.
SELECT {token}
FROM tokens ORDER BY created_at_ms, id
