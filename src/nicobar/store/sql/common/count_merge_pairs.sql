-- How many pairs of a merge are in each state.
SELECT state, count(*) FROM merge_pairs WHERE merge_seq = :seq GROUP BY state
