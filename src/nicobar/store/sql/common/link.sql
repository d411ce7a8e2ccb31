-- The link, if it is valid.
SELECT {link} FROM links
WHERE sha256 = :sha256 AND expires_at_ms > :now_ms
