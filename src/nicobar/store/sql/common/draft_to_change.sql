-- One draft, which no other transaction changes until the transaction ends.
SELECT {draft} FROM drafts WHERE id = :id {for_update}
