-- The deliveries of some messages; for one that waits behind another delivery of its customer, that one's message and when
-- it is due. One that was appended and not put in order yet waits as it will.
SELECT m.id, e.id, d.state, d.tries, CASE WHEN h.message_seq IS NULL THEN d.due_at_ms END, d.reason, d.ended_at_ms,
    (SELECT id FROM messages WHERE seq = h.message_seq), h.due_at_ms, d.edition, d.replay_key,
    d.overtaken_at_ms, d.warned
FROM messages AS m JOIN deliveries AS d ON d.message_seq = m.seq JOIN endpoints AS e ON e.seq = d.endpoint_seq
    LEFT JOIN LATERAL (
        SELECT o.message_seq, o.due_at_ms FROM deliveries AS o
        WHERE o.endpoint_seq = d.endpoint_seq AND o.customer_key = d.customer_key AND o.state IN ('pending', 'sending')
        ORDER BY o.position = 0, CASE WHEN o.position = 0 THEN o.message_seq ELSE o.position END, o.message_seq LIMIT 1
    ) AS h ON d.state = 'pending' AND (d.due_at_ms IS NULL OR d.position = 0) AND h.message_seq <> d.message_seq
WHERE m.id {any_of message_ids} ORDER BY m.seq, e.seq
