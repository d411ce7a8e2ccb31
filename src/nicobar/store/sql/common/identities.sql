-- All identities of an issuer.
SELECT issuer, subject, user_id, created_at_ms FROM user_identities WHERE issuer = :issuer ORDER BY subject
