-- Takes a user out; the name comes back.
DELETE FROM users WHERE id = :id RETURNING name
