-- Makes nothing due later than a time, except what somebody wanted later.
UPDATE deliveries SET due_at_ms = :latest_ms
WHERE due_at_ms > :latest_ms AND message_seq NOT IN (SELECT seq FROM messages WHERE deliver_at_ms > :latest_ms)
