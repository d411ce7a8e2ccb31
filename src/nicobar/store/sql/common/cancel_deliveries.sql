-- Cancels some deliveries of an endpoint that wait.
UPDATE deliveries SET {canceled}
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs} AND state = 'pending'
