-- The newest message.
SELECT coalesce(max(seq), 0) FROM messages
