-- Deletes the pairs of older merges that have ended.
DELETE FROM merge_pairs WHERE merge_seq < :seq
    AND merge_seq NOT IN (SELECT seq FROM merges WHERE status = 'running')
