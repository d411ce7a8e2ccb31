-- A page of an application's customers by key, and whether the endpoint accepted a delivery that was ordered by that key.
WITH RECURSIVE found (customer_key, number) AS (
    SELECT min(customer_key), 1 FROM messages WHERE app_id = :app_id AND customer_key > :after
    UNION ALL
    SELECT (
        SELECT min(customer_key) FROM messages WHERE app_id = :app_id AND customer_key > found.customer_key
    ), number + 1
    FROM found WHERE customer_key IS NOT NULL AND number < :limit
)
SELECT f.customer_key, (
    SELECT 1 FROM messages AS m {then_join} deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = :endpoint_seq
    WHERE m.app_id = :app_id AND m.customer_key = f.customer_key AND d.state = 'success'
        AND d.customer_key = f.customer_key
    LIMIT 1
)
FROM found AS f WHERE f.customer_key IS NOT NULL ORDER BY f.customer_key
