-- Makes a delivery that waits for its next attempt due at once; a replay that is canceled does not take it back.
UPDATE deliveries SET due_at_ms = :now_ms, manual = TRUE, was = NULL
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq AND state = 'pending' AND due_at_ms IS NOT NULL
