-- Stores when a merge came further.
UPDATE merges SET updated_at_ms = :now_ms, reason = NULL WHERE seq = :seq AND status = 'running'
