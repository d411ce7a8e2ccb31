-- The latest message of each of these customers; the index is read once a customer.
SELECT m.customer_key, m.id, m.event_type, m.accepted_at_ms
FROM {each keys} AS k {then_join} messages AS m ON m.seq = (
    SELECT max(seq) FROM messages WHERE app_id = :app_id AND customer_key = k.value
)
