-- Takes a delivery under a new lease; one whose lease has ended may have been sent.
UPDATE deliveries SET state = 'sending', lease = lease + 1, due_at_ms = :ends_at_ms,
    was = CASE WHEN state = 'pending' THEN was END
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq
