-- Adds the draft, or replaces the one with its id.
INSERT INTO drafts (id, app_id, updated_at_ms, sealed_credentials, content)
VALUES (:id, :app_id, :updated_at_ms, :sealed_credentials, :content)
ON CONFLICT (id) DO UPDATE SET updated_at_ms = excluded.updated_at_ms,
    sealed_credentials = excluded.sealed_credentials, content = excluded.content
