-- The deliveries of some messages that are not finished.
SELECT endpoint_seq, customer_key FROM deliveries
WHERE message_seq {any_number_of seqs} AND state IN ('pending', 'sending')
