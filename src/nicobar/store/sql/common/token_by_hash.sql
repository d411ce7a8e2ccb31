-- The token with this SHA-256, also one that is expired or revoked.
SELECT {token}
FROM tokens WHERE sha256 = :sha256
