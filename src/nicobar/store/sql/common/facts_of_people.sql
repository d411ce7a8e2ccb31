-- The facts of some customers, and of those with one of these addresses.
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM facts WHERE app_id = :app_id AND key {any_of keys}
UNION
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM (
    SELECT * FROM facts WHERE app_id = :app_id AND email {any_of emails} LIMIT :limit
) AS f
