-- The token with this SHA-256, also one that is expired or revoked, unless its application was deleted.
SELECT {token}
FROM tokens WHERE sha256 = :sha256
    AND (app_id IS NULL OR EXISTS (SELECT 1 FROM applications WHERE applications.id = tokens.app_id AND NOT removed))
