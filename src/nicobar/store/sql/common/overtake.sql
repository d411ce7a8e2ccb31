-- Takes deliveries of an endpoint out of the order of their customers.
UPDATE deliveries SET customer_key = NULL, overtaken_at_ms = :now_ms
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs} AND state = 'pending'
