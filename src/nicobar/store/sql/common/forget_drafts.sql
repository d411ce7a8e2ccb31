-- Takes out the drafts that nobody went on with; there are few.
DELETE FROM drafts WHERE updated_at_ms < :before_ms
