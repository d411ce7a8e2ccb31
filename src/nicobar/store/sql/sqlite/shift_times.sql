-- Moves what is due after a time.
UPDATE deliveries SET due_at_ms = max(0, due_at_ms + :by_ms) WHERE due_at_ms > :after_ms
