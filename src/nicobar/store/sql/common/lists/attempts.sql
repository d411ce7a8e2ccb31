-- An endpoint's attempts.
-- columns
{message_without_body}, e.id, a.id, a.content
-- from
attempts AS a
-- joined
{then_join} messages AS m ON m.seq = a.message_seq {then_join} endpoints AS e ON e.seq = :endpoint_seq
-- of
a.endpoint_seq = :endpoint_seq
-- place
a.id
-- filter
{attempt_filter}
