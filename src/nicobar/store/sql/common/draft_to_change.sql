-- One draft, which no other transaction changes until the transaction ends.
SELECT id, app_id, updated_at_ms, sealed_credentials, content FROM drafts WHERE id = :id {for_update}
