-- By which of some values unfinished deliveries of an endpoint are ordered.
SELECT DISTINCT customer_key FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending') AND customer_key {any_of customer_keys}
