-- In which orders the latest attempts of an endpoint were made, and how many of them are recent.
SELECT d.customer_key, count(*)
FROM (
    SELECT message_seq, started_at_ms FROM attempts WHERE endpoint_seq = :endpoint_seq ORDER BY id DESC LIMIT :limit
) AS a {then_join} deliveries AS d ON d.message_seq = a.message_seq AND d.endpoint_seq = :endpoint_seq
WHERE a.started_at_ms > :since_ms GROUP BY d.customer_key
