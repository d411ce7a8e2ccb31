-- Deletes abandoned drafts; there are few.
DELETE FROM drafts WHERE updated_at_ms < :before_ms
