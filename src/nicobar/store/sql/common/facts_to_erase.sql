-- The facts of a customer, and of refunds and disputes of their payments.
SELECT key FROM facts WHERE app_id = :app_id AND (customer_key = :customer_key OR (customer_key IS NULL
    AND parent_key IN (SELECT key FROM facts WHERE app_id = :app_id AND customer_key = :customer_key)))
