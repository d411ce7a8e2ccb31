-- How many messages there are.
SELECT count(*) FROM messages
