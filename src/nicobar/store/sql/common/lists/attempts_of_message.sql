-- A message's attempts. They are few: all of them may be read.
-- like
attempts
-- from
messages AS m {then_join} attempts AS a ON a.message_seq = m.seq {then_join} endpoints AS e ON e.seq = a.endpoint_seq
-- joined
-- of
-- where
m.id = :message_id AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
