-- Hastens deliveries of an endpoint whose last failure lies within an outage, if the lease of its endpoint has that term: they
-- are due at equal distances, and remember when they were due.
UPDATE deliveries AS d SET back_at_ms = f.due_at_ms,
    due_at_ms = CASE WHEN f.due_at_ms < :now_ms + f.number * :apart_ms THEN f.due_at_ms ELSE :now_ms + f.number * :apart_ms END
FROM (
    SELECT message_seq, due_at_ms, row_number() OVER (ORDER BY failed_at_ms, message_seq) - 1 AS number
    FROM deliveries
    WHERE endpoint_seq = :endpoint_seq AND failed_at_ms >= :since_ms AND failed_at_ms <= :until_ms
        AND back_at_ms IS NULL AND throttled_since_ms IS NULL AND state = 'pending' AND due_at_ms > :now_ms
    ORDER BY failed_at_ms, message_seq LIMIT :limit
) AS f
WHERE d.endpoint_seq = :endpoint_seq AND d.message_seq = f.message_seq AND {lease_has_term}
