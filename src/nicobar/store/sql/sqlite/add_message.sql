-- Stores a message, unless its application has one with that event id. Also returns whether any customer was erased.
INSERT INTO messages (id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms, body,
    channels, tags, params, deliver_at_ms, customer_email, customer_name)
VALUES (:id, :app_id, :source_id, :event_id, :event_type, :customer_key, :occurred_at_ms, :accepted_at_ms, :body,
    :channels, :tags, :params, :deliver_at_ms, :customer_email, :customer_name)
ON CONFLICT (app_id, event_id) DO NOTHING
RETURNING seq, EXISTS (SELECT 1 FROM erased WHERE app_id = :app_id)
