-- Deletes a customer from the merges of an application.
DELETE FROM merge_pairs
WHERE customer_key = :customer_key AND merge_seq IN (SELECT seq FROM merges WHERE app_id = :app_id)
