-- Adds facts. One that is stored, and says the same of the same customer, payment and address, gets the later place: that is
-- the place of all of it. No index of it is written, and no function is called, for which the thread would have to wait for
-- others. One that says anything else stays as it is.
INSERT INTO facts AS f (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (app_id, key) DO UPDATE SET
    occurred_at_ms = max(f.occurred_at_ms, excluded.occurred_at_ms), content = max(f.content, excluded.content)
WHERE {is_same_said} AND f.customer_key IS excluded.customer_key AND f.parent_key IS excluded.parent_key
    AND f.email IS excluded.email
