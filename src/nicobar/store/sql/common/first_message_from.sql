-- The first message whose id is not below one.
SELECT seq FROM messages WHERE id >= :id ORDER BY id LIMIT 1
