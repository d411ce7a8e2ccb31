-- A row where somebody is owner.
SELECT 1 FROM users WHERE role = 'owner' LIMIT 1
