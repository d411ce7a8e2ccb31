-- The attempts of one delivery, first to last. Ids grow within a process only, so that times come first.
SELECT a.content
FROM messages AS m JOIN endpoints AS e ON e.id = :endpoint_id
    JOIN attempts AS a ON a.message_seq = m.seq AND a.endpoint_seq = e.seq
WHERE m.id = :message_id ORDER BY a.started_at_ms, a.id
