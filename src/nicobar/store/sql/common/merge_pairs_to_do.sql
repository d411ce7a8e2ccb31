-- The next pairs of a merge in a state.
SELECT {merge_pair} FROM merge_pairs
WHERE merge_seq = :merge_seq AND state = :state ORDER BY number LIMIT :limit
