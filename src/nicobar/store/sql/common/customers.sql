-- A page of an application's customers by key, each with its latest message; the index is read once a customer.
WITH RECURSIVE found (customer_key, number) AS (
    SELECT min(customer_key), 1 FROM messages
    WHERE app_id = :app_id AND customer_key > :after AND customer_key >= :prefix AND customer_key < :prefix_end
    UNION ALL
    SELECT (
        SELECT min(customer_key) FROM messages
        WHERE app_id = :app_id AND customer_key > found.customer_key AND customer_key < :prefix_end
    ), number + 1
    FROM found WHERE customer_key IS NOT NULL AND number < :limit
)
SELECT f.customer_key, m.id, m.event_type, m.accepted_at_ms
FROM found AS f {then_join} messages AS m ON m.seq = (
    SELECT max(seq) FROM messages WHERE app_id = :app_id AND customer_key = f.customer_key
)
WHERE f.customer_key IS NOT NULL ORDER BY f.customer_key
