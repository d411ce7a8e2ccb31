-- Changes a user's role; returns the name if there is one.
UPDATE users SET role = :role WHERE id = :id RETURNING name
