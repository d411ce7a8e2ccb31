-- Deletes what is known about a customer.
DELETE FROM facts WHERE app_id = :app_id AND customer_key = :customer_key
