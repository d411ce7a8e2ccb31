-- When the first attempt of those deliveries of an endpoint failed that hold up their customer, of the earliest one.
SELECT failing_since_ms FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND failing_since_ms IS NOT NULL AND customer_key IS NOT NULL AND state = 'pending'
ORDER BY failing_since_ms LIMIT 1
