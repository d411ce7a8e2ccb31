-- A delivery waits for what a fact may say about who its customer is; the key is empty where none is known that may.
INSERT INTO unidentified (message_seq, endpoint_seq, key, app_id, since_ms, news, checked, late)
SELECT seq, :endpoint_seq, :key, app_id, :since_ms, 1, 0, FALSE FROM messages WHERE seq = :message_seq
ON CONFLICT (message_seq, endpoint_seq, key) DO UPDATE SET since_ms = excluded.since_ms, late = FALSE,
    news = unidentified.news + 1
