-- Makes everything that is being sent due at once.
UPDATE deliveries SET state = 'pending', due_at_ms = 0, lease = lease + 1 WHERE state = 'sending'
