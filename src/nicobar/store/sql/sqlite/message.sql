-- One message.
SELECT seq, id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms, body,
    channels, tags, params, deliver_at_ms, expunged_at_ms
FROM messages WHERE id = :id
