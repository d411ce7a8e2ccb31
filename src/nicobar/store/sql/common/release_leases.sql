-- Makes all deliveries that are being sent due; they may have been sent.
UPDATE deliveries SET state = 'pending', due_at_ms = 0, lease = lease + 1, was = NULL
WHERE due_at_ms IS NOT NULL AND state = 'sending'
