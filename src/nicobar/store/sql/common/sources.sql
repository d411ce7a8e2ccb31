-- All sources.
SELECT id, app_id, name, kind, token, sealed_secrets, secret_references, uid, content, older_until_ms, mode,
    history_complete_since_ms
FROM sources ORDER BY id
