-- The last message whose id is not above one.
SELECT seq FROM messages WHERE id <= :id ORDER BY id DESC LIMIT 1
