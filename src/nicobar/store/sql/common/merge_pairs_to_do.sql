-- The next pairs of a merge that have been in a state for long enough.
SELECT {merge_pair} FROM merge_pairs
WHERE merge_seq = :merge_seq AND state = :state AND changed_at_ms <= :until_ms ORDER BY number LIMIT :limit
