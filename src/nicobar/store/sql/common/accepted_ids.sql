-- The event ids that destinations have accepted of some messages.
SELECT m.id, e.id, d.accepted_ids
FROM messages AS m {then_join} deliveries AS d ON d.message_seq = m.seq {then_join} endpoints AS e ON e.seq = d.endpoint_seq
WHERE m.id {any_of message_ids} AND d.accepted_ids IS NOT NULL
