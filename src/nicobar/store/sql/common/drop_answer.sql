-- Releases the key of an answer that will not be stored.
DELETE FROM answers WHERE token_id = :token_id AND key = :key AND status = 0
