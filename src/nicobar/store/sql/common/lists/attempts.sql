-- An endpoint's attempts.
-- columns
{message_without_body}, e.id, a.id, a.content
-- from
endpoints AS e {then_join} attempts AS a ON a.endpoint_seq = e.seq
-- joined
{then_join} messages AS m ON m.seq = a.message_seq
-- where
e.id = :endpoint_id
-- place
a.id
-- filter
{attempt_filter}
