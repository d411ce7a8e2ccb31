-- Recovery after outages, of a database, and of what went wrong with an event.
-- Oldest version that may run on it: 11

-- === Workers ===

-- leaving: whether the worker stops: it takes no share of the endpoints, and still sends what is under way.
ALTER TABLE workers ADD COLUMN leaving boolean NOT NULL DEFAULT false;

-- === Deliveries that fail ===

-- failing_since_ms: when the first attempt failed since the delivery was queued; failed_at_ms: the latest one, other than by
-- a 429. back_at_ms: when it was due before it was hastened after an outage. overtaken_at_ms: since when its customer's later
-- deliveries do not wait for it; it has no customer_key since. throttled_since_ms: since when the destination has only
-- answered 429; throttling_shown_at_ms: the last attempt that was stored for it.
ALTER TABLE deliveries ADD COLUMN failing_since_ms bigint, ADD COLUMN failed_at_ms bigint, ADD COLUMN back_at_ms bigint,
    ADD COLUMN overtaken_at_ms bigint, ADD COLUMN throttled_since_ms bigint, ADD COLUMN throttling_shown_at_ms bigint;
-- What failed before: as if its latest attempt were the first that failed.
UPDATE deliveries SET (failing_since_ms, failed_at_ms) = (
    SELECT nullif(max(started_at_ms), 0), nullif(max(started_at_ms), 0) FROM attempts
    WHERE message_seq = deliveries.message_seq AND endpoint_seq = deliveries.endpoint_seq
) WHERE state IN ('pending', 'sending') AND tries > 0;
CREATE INDEX deliveries_to_hasten ON deliveries (endpoint_seq, failed_at_ms, message_seq)
    WHERE failed_at_ms IS NOT NULL AND back_at_ms IS NULL AND throttled_since_ms IS NULL AND state = 'pending';
CREATE INDEX deliveries_to_overtake ON deliveries (endpoint_seq, failing_since_ms, message_seq)
    WHERE failing_since_ms IS NOT NULL AND customer_key IS NOT NULL AND state = 'pending';
