-- The answer that was given to a request, status 0 while there is none yet.
SELECT request, status, body FROM answers WHERE token_id = :token_id AND key = :key
