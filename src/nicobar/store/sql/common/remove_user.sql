-- Deletes a user and returns the name.
DELETE FROM users WHERE id = :id RETURNING name
