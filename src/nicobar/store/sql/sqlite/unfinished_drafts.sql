-- The drafts of new endpoints, the one that was changed last first.
SELECT {draft} FROM drafts
WHERE app_id = :app_id AND json_extract(content, '$.endpoint_id') IS NULL
ORDER BY updated_at_ms DESC, id DESC LIMIT :limit
