-- Waiting deliveries of an endpoint.
SELECT message_seq, customer_key FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending') AND state = 'pending'
ORDER BY customer_key, position LIMIT :limit
