-- The number of a message.
SELECT seq FROM messages WHERE id = :id
