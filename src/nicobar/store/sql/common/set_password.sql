-- Changes a user's password; returns a row if there is one.
UPDATE users SET password_hash = :password_hash WHERE id = :id RETURNING id
