-- Merges facts with stored ones that do not say the same of the same customer, payment and address.
INSERT INTO facts AS f (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
VALUES (?, ?, ?, ?, ?, ?, ?)
{merge_fact}
WHERE NOT ({is_same_said} AND f.customer_key IS excluded.customer_key AND f.parent_key IS excluded.parent_key
    AND f.email IS excluded.email)
