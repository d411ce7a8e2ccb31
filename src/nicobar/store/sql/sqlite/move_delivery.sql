-- Moves a delivery on, if the lease still holds; the replay comes back that has put it into the queue, where it was not
-- tried since.
UPDATE deliveries SET state = :state, tries = tries + :spent, due_at_ms = :due_at_ms, reason = :reason,
    failure = :failure, ended_at_ms = :ended_at_ms, was = CASE WHEN NOT :tried THEN was END,
    accepted_ids = coalesce(:accepted_ids, accepted_ids),
    half_sent = CASE WHEN :tried THEN :half_sent ELSE half_sent END,
    failing_since_ms = :failing_since_ms, failed_at_ms = :failed_at_ms, back_at_ms = :back_at_ms,
    throttled_since_ms = :throttled_since_ms, throttling_shown_at_ms = :throttling_shown_at_ms,
    warned = CASE WHEN :tried THEN :warned ELSE warned END
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq AND lease = :lease AND state = 'sending'
RETURNING customer_key, CASE WHEN was IS NOT NULL THEN task_seq END
