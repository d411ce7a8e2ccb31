-- The answer to a request; its status is 0 until there is one.
SELECT request, status, body FROM answers WHERE token_id = :token_id AND key = :key
