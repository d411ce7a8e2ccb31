-- When a message was accepted.
SELECT accepted_at_ms FROM messages WHERE seq = :seq
