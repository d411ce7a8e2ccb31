-- Unlinks a user from all providers.
DELETE FROM user_identities WHERE user_id = :user_id
