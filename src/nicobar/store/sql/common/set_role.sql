-- Gives a user another role; the name comes back where there is one.
UPDATE users SET role = :role WHERE id = :id RETURNING name
