-- Stores what came of a pair of a merge.
UPDATE merge_pairs SET state = :state, changed_at_ms = :changed_at_ms, reason = :reason
WHERE merge_seq = :merge_seq AND number = :number AND (state IN ('waiting', 'identified') OR :state = 'merged')
