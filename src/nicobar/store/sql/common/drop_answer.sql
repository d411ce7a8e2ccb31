-- Frees the place of an answer that will not be kept.
DELETE FROM answers WHERE token_id = :token_id AND key = :key AND status = 0
