-- Puts finished deliveries of an endpoint, or ones that were never created, into the queue: each behind everything that its
-- customer has waiting, or the person whom its order key names, and in the order of acceptance. A replay, which may be canceled, keeps what it has found. No other
-- transaction deletes or empties the messages meanwhile. An event that is committed but not in order yet does not count: it
-- will wait for these deliveries.
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, position, edition,
    replay_key, manual, task_seq, was)
SELECT p.message_seq, :endpoint_seq, 'pending', 0, 0,
    CASE WHEN p.customer_key IS NULL OR p.number = 1 AND p.last_position IS NULL THEN CAST(:now_ms AS BIGINT) END,
    p.customer_key, p.number + {greatest}((SELECT max(seq) FROM messages) << 20, coalesce(p.last_position, 0)),
    :edition, :replay_key, TRUE, CAST(:task_seq AS BIGINT), CASE WHEN CAST(:task_seq AS BIGINT) IS NOT NULL THEN '{}' END
FROM (
    SELECT f.seq AS message_seq, f.customer_key, row_number() OVER (PARTITION BY f.customer_key ORDER BY f.seq) AS number, (
        SELECT position FROM deliveries
        WHERE endpoint_seq = :endpoint_seq AND customer_key = f.customer_key AND state IN ('pending', 'sending')
            AND position > 0
        ORDER BY position DESC LIMIT 1
    ) AS last_position
    FROM (
        SELECT seq, coalesce({order_key}, customer_key) AS customer_key FROM messages
        WHERE seq {any_number_of message_seqs} AND expunged_at_ms IS NULL ORDER BY seq {for_key_share}
    ) AS f LEFT JOIN deliveries AS d ON d.message_seq = f.seq AND d.endpoint_seq = :endpoint_seq
    WHERE coalesce(d.state, 'none') IN ('none', 'success', 'failed', 'canceled')
        AND EXISTS (SELECT 1 FROM endpoints WHERE seq = :endpoint_seq AND NOT removed)
) AS p WHERE TRUE
ON CONFLICT (message_seq, endpoint_seq) DO UPDATE SET state = 'pending', tries = 0, lease = deliveries.lease + 1,
    due_at_ms = excluded.due_at_ms, customer_key = excluded.customer_key, position = excluded.position,
    edition = deliveries.edition + excluded.edition,
    replay_key = CASE WHEN :new_ids THEN excluded.replay_key ELSE coalesce(deliveries.replay_key, '') END, manual = TRUE,
    task_seq = excluded.task_seq, reason = NULL, failure = NULL, ended_at_ms = NULL, half_sent = NULL,
    failing_since_ms = NULL, failed_at_ms = NULL, back_at_ms = NULL, overtaken_at_ms = NULL, throttled_since_ms = NULL,
    throttling_shown_at_ms = NULL,
    was = CASE WHEN excluded.was IS NOT NULL THEN CAST({json_object}('state', deliveries.state, 'tries', deliveries.tries,
        'edition', deliveries.edition, 'replay_key', deliveries.replay_key, 'manual', deliveries.manual,
        'task_seq', deliveries.task_seq, 'reason', deliveries.reason, 'failure', deliveries.failure,
        'ended_at_ms', deliveries.ended_at_ms) AS TEXT) END
