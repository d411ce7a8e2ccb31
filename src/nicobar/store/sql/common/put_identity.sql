-- Links a provider's subject to a user, unless it is linked to another one that still exists.
INSERT INTO user_identities (issuer, subject, user_id, created_at_ms)
VALUES (:issuer, :subject, :user_id, :created_at_ms)
ON CONFLICT (issuer, subject) DO UPDATE SET user_id = excluded.user_id, created_at_ms = excluded.created_at_ms
WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = user_identities.user_id)
RETURNING user_id
