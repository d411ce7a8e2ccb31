-- What is known about a customer, as far as the bound.
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM facts
WHERE app_id = :app_id AND customer_key = :customer_key ORDER BY key LIMIT :limit
