-- Notes a backup.
INSERT INTO backups (path, taken_at_ms) VALUES (:path, :taken_at_ms)
ON CONFLICT (path) DO UPDATE SET taken_at_ms = excluded.taken_at_ms
