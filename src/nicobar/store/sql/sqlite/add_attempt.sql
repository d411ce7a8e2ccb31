-- Keeps a try, once.
INSERT INTO attempts (id, message_seq, endpoint_seq, content)
VALUES (:id, :message_seq, :endpoint_seq, :content)
ON CONFLICT (id) DO NOTHING
