-- The oldest message.
SELECT min(seq) FROM messages
