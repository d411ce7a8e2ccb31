-- The next messages of a customer.
SELECT seq FROM messages WHERE app_id = :app_id AND customer_key = :customer_key ORDER BY seq LIMIT :limit
