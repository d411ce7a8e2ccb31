-- Gives a user another role and password; a row comes back where there is one.
UPDATE users SET role = :role, password_hash = :password_hash WHERE id = :id RETURNING id
