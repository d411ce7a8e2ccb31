-- A message's deliveries that are not finished.
SELECT endpoint_seq, customer_key FROM deliveries WHERE message_seq = :seq AND state IN ('pending', 'sending')
