-- Cancels a delivery that waits.
UPDATE deliveries SET state = 'canceled', due_at_ms = NULL, lease = lease + 1, reason = :reason, ended_at_ms = :now_ms,
    was = NULL
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq AND state = 'pending'
