-- Deletes merges that ended long ago and have no pairs any more.
DELETE FROM merges WHERE status <> 'running' AND updated_at_ms < :before_ms
    AND NOT EXISTS (SELECT 1 FROM merge_pairs WHERE merge_seq = merges.seq)
