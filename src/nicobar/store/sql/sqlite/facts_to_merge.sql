-- The facts with some keys.
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM facts WHERE app_id = :app_id AND key {any_of keys}
