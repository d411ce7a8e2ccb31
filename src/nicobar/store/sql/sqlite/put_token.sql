-- Adds a token, or replaces the one of its name.
INSERT INTO tokens (name, sha256, created_at_ms, revoked_at_ms)
VALUES (:name, :sha256, :created_at_ms, :revoked_at_ms)
ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, created_at_ms = excluded.created_at_ms,
    revoked_at_ms = excluded.revoked_at_ms
