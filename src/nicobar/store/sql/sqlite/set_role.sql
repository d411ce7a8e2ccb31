-- Gives a user another role; a row comes back where there is one.
UPDATE users SET role = :role WHERE id = :id RETURNING id
