-- Stores a fact, already merged with what was stored.
INSERT INTO facts (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
VALUES (:app_id, :key, :customer_key, :parent_key, :occurred_at_ms, :content, :email)
ON CONFLICT (app_id, key) DO UPDATE SET customer_key = excluded.customer_key, parent_key = excluded.parent_key,
    occurred_at_ms = excluded.occurred_at_ms, content = excluded.content, email = excluded.email
