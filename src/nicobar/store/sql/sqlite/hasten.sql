-- Makes a delivery that waits for its next try due at once.
UPDATE deliveries SET due_at_ms = :now_ms, manual = 1
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq AND state = 'pending' AND due_at_ms IS NOT NULL
