-- Puts a finished delivery, or one that was never created, into the queue behind everything that its customer has waiting.
-- A replay, which may be canceled, keeps what it has found. No other transaction deletes or empties the message meanwhile. An event
-- that is committed but not in order yet does not count: it will wait for this delivery.
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position, edition,
    replay_key, manual, task_seq, was)
SELECT m.seq, e.seq, 'pending', 0, 0,
    CASE WHEN m.customer_key IS NOT NULL AND EXISTS (
        SELECT 1 FROM deliveries
        WHERE endpoint_seq = e.seq AND customer_key = m.customer_key AND state IN ('pending', 'sending')
            AND position > 0
    ) THEN NULL ELSE CAST(:now_ms AS bigint) END,
    m.customer_key,
    1 + greatest((SELECT max(seq) FROM messages) << 20, coalesce((
        SELECT max(position) FROM deliveries
        WHERE endpoint_seq = e.seq AND customer_key = m.customer_key AND state IN ('pending', 'sending')
            AND position > 0
    ), 0)),
    :edition, :replay_key, TRUE, CAST(:task_seq AS bigint), CASE WHEN CAST(:task_seq AS bigint) IS NOT NULL THEN '{}' END
FROM messages AS m, endpoints AS e
WHERE m.seq = :message_seq AND e.seq = :endpoint_seq AND NOT e.removed AND m.expunged_at_ms IS NULL
FOR KEY SHARE OF m
ON CONFLICT (message_seq, endpoint_seq) DO UPDATE SET state = 'pending', tries = 0, lease = deliveries.lease + 1,
    due_at_ms = excluded.due_at_ms, customer_key = excluded.customer_key, position = excluded.position,
    edition = deliveries.edition + excluded.edition,
    replay_key = CASE WHEN :new_ids THEN excluded.replay_key ELSE coalesce(deliveries.replay_key, '') END, manual = TRUE,
    task_seq = excluded.task_seq, reason = NULL, failure = NULL, ended_at_ms = NULL, half_sent = NULL,
    was = CASE WHEN excluded.was IS NOT NULL THEN CAST(json_build_object('state', deliveries.state,
        'tries', deliveries.tries, 'edition', deliveries.edition, 'replay_key', deliveries.replay_key,
        'manual', deliveries.manual, 'task_seq', deliveries.task_seq, 'reason', deliveries.reason,
        'failure', deliveries.failure, 'ended_at_ms', deliveries.ended_at_ms) AS text) END
WHERE deliveries.state IN ('success', 'failed', 'canceled')
