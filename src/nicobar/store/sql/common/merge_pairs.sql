-- A page of the pairs of a merge.
SELECT {merge_pair} FROM merge_pairs WHERE merge_seq = :merge_seq AND number > :after_number ORDER BY number LIMIT :limit
