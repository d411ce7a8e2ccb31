-- An application's next messages that have one of some values in what was posted or in the event id, each with its customer.
SELECT seq, id, customer_key FROM messages
WHERE app_id = :app_id AND seq > :after_seq
    AND ({has_bytes body} OR {has_value event_id} OR {has_value params} OR {has_value tags})
ORDER BY seq LIMIT :limit
