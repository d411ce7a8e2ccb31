-- Counts the customers of a page, each once, with the last of the messages that were found.
INSERT INTO counted (customer_key, message_seq)
SELECT json_extract(value, '$[1]'), json_extract(value, '$[0]') FROM json_each(:page)
WHERE json_extract(value, '$[1]') IS NOT NULL
ON CONFLICT (customer_key) DO UPDATE SET message_seq = excluded.message_seq
