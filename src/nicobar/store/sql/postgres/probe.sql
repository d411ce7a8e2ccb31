-- The newest message, by the index that every list begins with.
SELECT seq, id FROM messages ORDER BY seq DESC LIMIT 1
