-- The deliveries of some messages; for one that waits behind another delivery of its customer, that one's message and when
-- it is due.
SELECT m.id, e.id, d.state, d.tries, d.due_at_ms, d.reason, d.ended_at_ms,
    (SELECT id FROM messages WHERE seq = h.message_seq), h.due_at_ms, d.edition, d.replay_key,
    d.overtaken_at_ms, d.warned
FROM messages AS m JOIN deliveries AS d ON d.message_seq = m.seq JOIN endpoints AS e ON e.seq = d.endpoint_seq
    LEFT JOIN deliveries AS h ON d.state = 'pending' AND d.due_at_ms IS NULL AND h.endpoint_seq = d.endpoint_seq
        AND h.message_seq = (
            SELECT message_seq FROM deliveries
            WHERE endpoint_seq = d.endpoint_seq AND customer_key = d.customer_key AND state IN ('pending', 'sending')
            ORDER BY position, message_seq LIMIT 1
        )
WHERE m.id {any_of message_ids} ORDER BY m.seq, e.seq
