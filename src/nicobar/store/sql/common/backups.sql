-- The backups, oldest first.
SELECT path, taken_at_ms FROM backups ORDER BY taken_at_ms, path
