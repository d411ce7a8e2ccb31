-- A message of another customer with this email address.
SELECT 1 FROM messages
WHERE app_id = :app_id AND customer_key <> :customer_key AND lower(trim(customer_email)) = :email LIMIT 1
