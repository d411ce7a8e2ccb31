-- The next messages of a customer with their payloads.
SELECT {message} FROM messages AS m WHERE m.app_id = :app_id AND m.customer_key = :customer_key AND m.seq > :after_seq
ORDER BY m.seq LIMIT :limit
