-- Adds a token, or replaces the one with its id.
INSERT INTO tokens (id, name, sha256, scope, app_id, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms,
    portal, session_id)
VALUES (:id, :name, :sha256, :scope, :app_id, :created_at_ms, :expires_at_ms, :revoked_at_ms, :last_used_at_ms,
    :portal, :session_id)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, sha256 = excluded.sha256, scope = excluded.scope,
    app_id = excluded.app_id, expires_at_ms = excluded.expires_at_ms, revoked_at_ms = excluded.revoked_at_ms,
    last_used_at_ms = coalesce(excluded.last_used_at_ms, tokens.last_used_at_ms), portal = excluded.portal,
    session_id = excluded.session_id
