-- Gives a user another password; a row comes back where there is one.
UPDATE users SET password_hash = :password_hash WHERE id = :id RETURNING id
