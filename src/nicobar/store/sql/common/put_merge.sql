-- Ends a running merge, or stores why it waits.
UPDATE merges SET status = :status, reason = :reason, updated_at_ms = :now_ms WHERE seq = :seq AND status = 'running'
