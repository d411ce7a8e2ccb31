-- Puts a finished delivery, or one that was never made, into the queue behind everything that its customer has waiting. A
-- replay, which may be canceled, keeps what it has found.
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position, edition,
    replay_key, manual, task_seq, was)
SELECT m.seq, e.seq, 'pending', 0, 0,
    CASE WHEN m.customer_key IS NOT NULL AND EXISTS (
        SELECT 1 FROM deliveries
        WHERE endpoint_seq = e.seq AND customer_key = m.customer_key AND state IN ('pending', 'sending')
    ) THEN NULL ELSE :now_ms END,
    m.customer_key,
    1 + max((SELECT max(seq) FROM messages) << 20, coalesce((
        SELECT max(position) FROM deliveries
        WHERE endpoint_seq = e.seq AND customer_key = m.customer_key AND state IN ('pending', 'sending')
    ), 0)),
    :edition, :replay_key, TRUE, :task_seq, CASE WHEN :task_seq IS NOT NULL THEN '{}' END
FROM messages AS m, endpoints AS e
WHERE m.seq = :message_seq AND e.seq = :endpoint_seq AND NOT e.removed AND m.expunged_at_ms IS NULL
ON CONFLICT (message_seq, endpoint_seq) DO UPDATE SET state = 'pending', tries = 0, lease = deliveries.lease + 1,
    due_at_ms = excluded.due_at_ms, customer_key = excluded.customer_key, position = excluded.position,
    edition = deliveries.edition + excluded.edition,
    replay_key = CASE WHEN :new_ids THEN excluded.replay_key ELSE coalesce(deliveries.replay_key, '') END, manual = TRUE,
    task_seq = excluded.task_seq, reason = NULL, failure = NULL, ended_at_ms = NULL, half_sent = NULL,
    was = CASE WHEN excluded.was IS NOT NULL THEN json_object('state', deliveries.state, 'tries', deliveries.tries,
        'edition', deliveries.edition, 'replay_key', deliveries.replay_key, 'manual', deliveries.manual,
        'task_seq', deliveries.task_seq, 'reason', deliveries.reason, 'failure', deliveries.failure,
        'ended_at_ms', deliveries.ended_at_ms) END
WHERE deliveries.state IN ('success', 'failed', 'canceled')
