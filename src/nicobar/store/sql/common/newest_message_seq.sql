-- The number of the newest message, 0 without any.
SELECT coalesce(max(seq), 0) FROM messages
