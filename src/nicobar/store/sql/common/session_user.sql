-- The user of a session that has not expired.
SELECT users.id, users.name, users.role, users.password_hash, users.created_at_ms
FROM sessions JOIN users ON users.id = sessions.user_id
WHERE sessions.sha256 = :sha256 AND sessions.expires_at_ms > :now_ms
