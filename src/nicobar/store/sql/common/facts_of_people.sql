-- The facts of some customers, and of those with one of these addresses; a customer may be both. Without statistics, SQLite
-- would search all facts of the application for an address, so it is told the index.
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM facts WHERE app_id = :app_id AND key {any_of keys}
UNION ALL
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM (
    SELECT * FROM {facts_with_email} LIMIT :limit
) AS f
