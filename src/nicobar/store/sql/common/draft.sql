-- One draft.
SELECT id, app_id, updated_at_ms, sealed_credentials, content FROM drafts WHERE id = :id
