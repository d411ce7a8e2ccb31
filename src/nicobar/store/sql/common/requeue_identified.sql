-- Puts a delivery back into the queue whose person is known now, behind everything that the person has waiting. Where a later
-- event of its customer has arrived, or goes first, it is one that was overtaken. An event that is committed but not in order
-- yet does not count: it will wait for this one.
UPDATE deliveries AS d SET state = 'pending', tries = 0, lease = d.lease + 1, customer_key = :order_key, was = NULL,
    task_seq = NULL, reason = NULL, failure = NULL, ended_at_ms = NULL, half_sent = NULL, failing_since_ms = NULL,
    failed_at_ms = NULL, back_at_ms = NULL, throttled_since_ms = NULL, throttling_shown_at_ms = NULL,
    overtaken_at_ms = CASE WHEN EXISTS (
        SELECT 1 FROM messages AS m {then_join} deliveries AS o ON o.message_seq = m.seq AND o.endpoint_seq = :endpoint_seq
        WHERE m.app_id = (SELECT app_id FROM messages WHERE seq = :message_seq) AND m.customer_key = :customer_key
            AND m.seq > :message_seq AND o.state IN ('success', 'pending', 'sending') AND o.position > 0
    ) OR EXISTS (
        SELECT 1 FROM deliveries AS o
        WHERE o.endpoint_seq = :endpoint_seq AND o.customer_key = :order_key AND o.state IN ('pending', 'sending')
            AND o.message_seq > :message_seq AND o.position > 0
    ) THEN CAST(:now_ms AS BIGINT) END,
    due_at_ms = CASE WHEN NOT EXISTS (
        SELECT 1 FROM deliveries AS o
        WHERE o.endpoint_seq = :endpoint_seq AND o.customer_key = :order_key AND o.state IN ('pending', 'sending')
            AND o.position > 0
    ) THEN CAST(:now_ms AS BIGINT) END,
    position = 1 + {greatest}((SELECT max(seq) FROM messages) << 20, coalesce((
        SELECT o.position FROM deliveries AS o
        WHERE o.endpoint_seq = :endpoint_seq AND o.customer_key = :order_key AND o.state IN ('pending', 'sending')
            AND o.position > 0
        ORDER BY o.position DESC LIMIT 1
    ), 0))
WHERE d.message_seq = :message_seq AND d.endpoint_seq = :endpoint_seq AND {without_identity}
