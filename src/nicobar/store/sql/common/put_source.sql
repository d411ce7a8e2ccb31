-- Adds a source, or replaces the one with its id.
INSERT INTO sources (id, app_id, name, kind, token, sealed_secrets, secret_references, uid, content, older_until_ms,
    mode, history_complete_since_ms)
VALUES (:id, :app_id, :name, :kind, :token, :sealed_secrets, :secret_references, :uid, :content,
    :older_until_ms, :mode, :history_complete_since_ms)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, token = excluded.token,
    sealed_secrets = excluded.sealed_secrets, secret_references = excluded.secret_references, uid = excluded.uid,
    content = excluded.content, older_until_ms = excluded.older_until_ms, mode = excluded.mode,
    history_complete_since_ms = excluded.history_complete_since_ms
