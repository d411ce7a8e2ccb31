-- Merges a fact with what is stored.
INSERT INTO facts AS f (app_id, key, customer_key, parent_key, occurred_at_ms, content, email)
VALUES (:app_id, :key, :customer_key, :parent_key, :occurred_at_ms, :content, :email)
{merge_fact}
