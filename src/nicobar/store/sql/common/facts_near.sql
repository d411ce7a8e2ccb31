-- The facts with some keys, those of the payments that they belong to, and those of the customers of all of these.
WITH near AS (
    SELECT key, customer_key FROM facts WHERE app_id = :app_id AND key {any_of keys}
    UNION
    SELECT p.key, p.customer_key FROM facts AS f {then_join} facts AS p ON p.app_id = :app_id AND p.key = f.parent_key
    WHERE f.app_id = :app_id AND f.key {any_of keys}
), reached AS (
    SELECT key FROM near
    UNION
    SELECT {customer_fact} FROM near WHERE customer_key IS NOT NULL
)
SELECT f.key, f.customer_key, f.parent_key, f.occurred_at_ms, f.content, f.email
FROM reached AS r {then_join} facts AS f ON f.app_id = :app_id AND f.key = r.key
