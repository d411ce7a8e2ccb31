-- A message's attempts. They are few: all of them may be read.
-- columns
{message_without_body}, e.id, a.id, a.content
-- from
messages AS m {then_join} attempts AS a ON a.message_seq = m.seq {then_join} endpoints AS e ON e.seq = a.endpoint_seq
-- where
m.id = :message_id AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
-- place
a.id
-- filter
{attempt_filter}
