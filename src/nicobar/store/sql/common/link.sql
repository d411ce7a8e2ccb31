-- The link, if it is valid.
SELECT name, sha256, role, created_at_ms, expires_at_ms FROM links
WHERE sha256 = :sha256 AND expires_at_ms > :now_ms
