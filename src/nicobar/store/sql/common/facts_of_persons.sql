-- The facts of some customers, of those with one of these addresses, and of those with one of these values under a name in
-- their metadata; subscriptions first. A refund or dispute may know its payment only. Without statistics, SQLite would search all
-- facts of the application, so it is told the indexes.
WITH persons AS (
    SELECT value AS customer_key FROM {each customer_keys} AS c
    UNION
    SELECT customer_key FROM (
        SELECT customer_key FROM {facts_with_email} LIMIT :limit
    ) AS e
    UNION
    SELECT customer_key FROM (
        SELECT f.customer_key FROM metadata_ids AS i {then_join} facts AS f ON f.app_id = :app_id AND f.key = i.key
        WHERE i.app_id = :app_id AND i.name = :metadata_name AND i.value {any_of metadata_values} LIMIT :limit
    ) AS m
), own AS (
    SELECT f.key, f.customer_key, f.parent_key, f.occurred_at_ms, f.content, f.email
    FROM persons AS p {then_join} facts AS f {by_index facts_of_customer} ON f.app_id = :app_id AND f.customer_key = p.customer_key
    ORDER BY f.key DESC LIMIT :limit
)
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM own
UNION ALL
SELECT f.key, f.customer_key, f.parent_key, f.occurred_at_ms, f.content, f.email
FROM own AS o {then_join} facts AS f {by_index facts_of_payment} ON f.app_id = :app_id AND f.parent_key = o.key AND f.customer_key IS NULL
LIMIT :limit
