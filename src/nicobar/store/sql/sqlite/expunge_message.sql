-- Empties a message.
UPDATE messages SET body = x'', params = NULL, tags = '[]', expunged_at_ms = :now_ms
WHERE seq = :seq AND expunged_at_ms IS NULL
