-- Stores who first sent an id made of a natural key.
INSERT INTO sent_keys (workspace, event_id, message_id, endpoint_id, sent_at_ms)
VALUES (:workspace, :event_id, :message_id, :endpoint_id, :sent_at_ms) ON CONFLICT DO NOTHING
