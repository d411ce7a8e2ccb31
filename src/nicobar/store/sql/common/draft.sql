-- One draft.
SELECT {draft} FROM drafts WHERE id = :id
