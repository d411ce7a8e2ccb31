-- The user of a provider's subject.
SELECT users.id, users.name, users.role, users.password_hash, users.created_at_ms
FROM user_identities JOIN users ON users.id = user_identities.user_id
WHERE user_identities.issuer = :issuer AND user_identities.subject = :subject
