-- Moves deliveries on whose lease still holds; the replay comes back that has put one into the queue, where it was not
-- tried since. The state is compared so that no index by states is used, over all that waits.
UPDATE deliveries AS d SET state = f.state, tries = d.tries + f.spent, due_at_ms = f.due_at_ms, reason = f.reason,
    failure = f.failure, ended_at_ms = f.ended_at_ms, was = CASE WHEN NOT f.tried THEN d.was END,
    accepted_ids = coalesce(f.accepted_ids, d.accepted_ids),
    half_sent = CASE WHEN f.tried THEN f.half_sent ELSE d.half_sent END,
    failing_since_ms = f.failing_since_ms, failed_at_ms = f.failed_at_ms, back_at_ms = f.back_at_ms,
    throttled_since_ms = f.throttled_since_ms, throttling_shown_at_ms = f.throttling_shown_at_ms,
    warned = CASE WHEN f.tried THEN f.warned ELSE d.warned END
FROM unnest(CAST(:message_seqs AS bigint[]), CAST(:endpoint_seqs AS bigint[]), CAST(:leases AS bigint[]),
    CAST(:states AS text[]), CAST(:spent AS bigint[]), CAST(:tried AS boolean[]), CAST(:due_at_ms AS bigint[]),
    CAST(:reasons AS text[]), CAST(:failures AS text[]), CAST(:ended_at_ms AS bigint[]), CAST(:accepted_ids AS text[]),
    CAST(:half_sent AS bytea[]), CAST(:failing_since_ms AS bigint[]), CAST(:failed_at_ms AS bigint[]),
    CAST(:back_at_ms AS bigint[]), CAST(:throttled_since_ms AS bigint[]), CAST(:throttling_shown_at_ms AS bigint[]),
    CAST(:warned AS boolean[]))
    AS f (message_seq, endpoint_seq, lease, state, spent, tried, due_at_ms, reason, failure, ended_at_ms, accepted_ids,
        half_sent, failing_since_ms, failed_at_ms, back_at_ms, throttled_since_ms, throttling_shown_at_ms, warned)
WHERE d.message_seq = f.message_seq AND d.endpoint_seq = f.endpoint_seq AND d.lease = f.lease
    AND d.state IS NOT DISTINCT FROM 'sending'
RETURNING d.message_seq, d.endpoint_seq, d.customer_key, CASE WHEN d.was IS NOT NULL THEN d.task_seq END
