-- Deletes deliveries that a replay has created, those that were not tried since.
DELETE FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs} AND state = 'pending' AND was = '{}'
