-- Stores an attempt, once.
INSERT INTO attempts (id, message_seq, endpoint_seq, content, state, status, manual, started_at_ms)
VALUES (:id, :message_seq, :endpoint_seq, :content, :state, :status, :manual, :started_at_ms)
ON CONFLICT (id) DO NOTHING
