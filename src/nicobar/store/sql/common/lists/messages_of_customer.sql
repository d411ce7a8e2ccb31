-- A customer's messages.
-- like
messages
-- of
m.app_id = :app_id AND m.customer_key = :customer_key
-- where
m.customer_key IS NOT NULL
