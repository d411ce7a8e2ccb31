-- The draft for an endpoint that was changed last.
SELECT {draft} FROM drafts
WHERE app_id = :app_id AND json_extract(content, '$.endpoint_id') = :endpoint_id
ORDER BY updated_at_ms DESC, id DESC LIMIT 1
