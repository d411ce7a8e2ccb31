-- When the newest message was accepted.
SELECT accepted_at_ms FROM messages ORDER BY seq DESC LIMIT 1
