-- Takes a delivery under a new lease.
UPDATE deliveries SET state = 'sending', lease = lease + 1, due_at_ms = :ends_at_ms
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq
