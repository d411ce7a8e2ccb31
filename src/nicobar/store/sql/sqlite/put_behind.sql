-- Deliveries that were held behind an earlier one of their customer wait for that one again; they may have been sent.
UPDATE deliveries SET state = 'pending', due_at_ms = NULL, lease = lease + 1, was = NULL
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs}
