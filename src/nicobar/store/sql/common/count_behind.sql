-- How many messages each of some customers has between two places, up to a number: the most that may be read of them.
SELECT c.value, (
    SELECT count(*) FROM (
        SELECT seq FROM messages
        WHERE app_id = :app_id AND customer_key = c.value AND seq > :after_seq AND seq <= :until_seq LIMIT :limit
    ) AS of_customer
)
FROM {each customer_keys} AS c
