-- Makes the first unfinished delivery of some customers due, if it was waiting for an earlier one: since it was accepted, or
-- replayed, so that it keeps its place among other customers. Those that are not in order yet do not count: they become due
-- or wait when they are put in order.
WITH first_ones AS MATERIALIZED (
    SELECT o.message_seq, o.endpoint_seq, o.state, o.due_at_ms, o.position
    FROM unnest(CAST(:endpoint_seqs AS bigint[]), CAST(:customer_keys AS text[])) AS g (endpoint_seq, customer_key)
        CROSS JOIN LATERAL (
            SELECT message_seq, endpoint_seq, state, due_at_ms, position FROM deliveries
            WHERE endpoint_seq = g.endpoint_seq AND customer_key = g.customer_key AND state IN ('pending', 'sending')
                AND position > 0
            ORDER BY position, message_seq LIMIT 1
        ) AS o
)
UPDATE deliveries AS d SET due_at_ms = least(:now_ms, (SELECT accepted_at_ms FROM messages WHERE seq = d.position >> 20))
FROM first_ones AS f
WHERE d.message_seq = f.message_seq AND d.endpoint_seq = f.endpoint_seq AND f.state = 'pending' AND f.due_at_ms IS NULL
