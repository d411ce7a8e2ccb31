-- Cancels what is left of a merge.
UPDATE merge_pairs SET state = 'canceled' WHERE merge_seq = :seq AND state IN ('waiting', 'identified')
