-- An application's next messages that have one of some values in their payload or event id, each with its customer.
SELECT seq, id, customer_key FROM messages
WHERE app_id = :app_id AND seq > :after_seq AND ({has_bytes body} OR {has_value event_id}) ORDER BY seq LIMIT :limit
