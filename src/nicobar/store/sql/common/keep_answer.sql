-- Stores the answer under the reserved key.
UPDATE answers SET status = :status, body = :body WHERE token_id = :token_id AND key = :key
