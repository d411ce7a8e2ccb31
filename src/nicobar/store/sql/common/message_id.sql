-- The id of a message.
SELECT id FROM messages WHERE seq = :seq
