id, name, sha256, scope, app_id, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms, portal, session_id
