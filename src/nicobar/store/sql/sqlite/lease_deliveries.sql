-- Leases what a claim has chosen. A delivery whose lease has expired may have been sent.
UPDATE deliveries SET state = 'sending', lease = lease + 1, due_at_ms = :ends_at_ms,
    was = CASE WHEN state = 'pending' THEN was END
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs}
