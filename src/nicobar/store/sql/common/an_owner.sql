-- A row if there is an owner.
SELECT 1 FROM users WHERE role = 'owner' LIMIT 1
