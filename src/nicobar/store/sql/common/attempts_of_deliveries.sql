-- The attempts of some messages' deliveries, first to last. Ids grow within a process only, so that times come first.
SELECT m.id, e.id, a.content
FROM messages AS m {then_join} attempts AS a ON a.message_seq = m.seq {then_join} endpoints AS e ON e.seq = a.endpoint_seq
WHERE m.id {any_of message_ids} AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
ORDER BY a.started_at_ms, a.id
