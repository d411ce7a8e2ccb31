-- When a message was emptied.
SELECT expunged_at_ms FROM messages WHERE seq = :seq
