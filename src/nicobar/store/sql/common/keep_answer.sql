-- Keeps the answer in the place that was taken for it.
UPDATE answers SET status = :status, body = :body WHERE token_id = :token_id AND key = :key
