-- The next kept answers whose first bytes are others than those that a key begins with.
SELECT token_id, key, request, body FROM answers
WHERE (token_id, key) > (:token_id, :key) AND length(body) > 0 AND substr(body, 1, CAST(:prefix_bytes AS integer)) <> :prefix
ORDER BY token_id, key LIMIT :limit;
