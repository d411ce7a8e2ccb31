-- Deletes pairs of merges that ended long ago.
DELETE FROM merge_pairs WHERE (merge_seq, number) IN (
    SELECT p.merge_seq, p.number FROM merges AS m {then_join} merge_pairs AS p ON p.merge_seq = m.seq
    WHERE m.status <> 'running' AND m.updated_at_ms < :before_ms LIMIT :limit
)
