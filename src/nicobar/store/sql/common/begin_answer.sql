-- Reserves the key of an answer, unless there is a recent one.
INSERT INTO answers (token_id, key, request, status, body, at_ms)
VALUES (:token_id, :key, :request, 0, {no_bytes}, :now_ms)
ON CONFLICT (token_id, key) DO UPDATE SET request = excluded.request, status = 0, body = {no_bytes}, at_ms = excluded.at_ms
    WHERE answers.at_ms < :before_ms
RETURNING key
