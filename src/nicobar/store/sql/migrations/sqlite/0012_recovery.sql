-- Recovery after outages, of a database, and of what went wrong with an event.
-- Oldest version that may run on it: 11

-- === Workers ===

-- leaving: 1 for a worker that stops: it takes no share of the endpoints, and still sends what is under way.
ALTER TABLE workers ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0;

-- === Alerts ===

-- Where alerts are sent. sealed: the address and its secret, encrypted; content: the rest, as JSON.
CREATE TABLE alert_targets (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sealed BLOB NOT NULL,
    content TEXT NOT NULL
) WITHOUT ROWID;

-- How the latest alert to a target ended, as JSON.
CREATE TABLE alert_results (target_id TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;

-- The latest alert about a problem that a process has taken on: no other process sends the same again, nor a later one.
CREATE TABLE taken_alerts (id TEXT PRIMARY KEY, content TEXT NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID;

-- === Retry schedules ===

-- retry_after_ms: the delay before each retry, a JSON array of milliseconds; NULL for the schedule of the settings.
ALTER TABLE endpoints ADD COLUMN retry_after_ms TEXT;

-- === New deliveries ===

-- Those that are due and were not attempted yet, which get a share of each claim beside a backlog.
CREATE INDEX deliveries_new ON deliveries (endpoint_seq, due_at_ms, message_seq)
    WHERE due_at_ms IS NOT NULL AND state = 'pending' AND tries = 0 AND reason IS NULL AND NOT manual;

-- === Deliveries that fail ===

-- failing_since_ms: when the first attempt failed since the delivery was queued; failed_at_ms: the latest one, other than by
-- a 429. back_at_ms: when it was due before it was hastened after an outage. overtaken_at_ms: since when its customer's later
-- deliveries do not wait for it; it has no customer_key since. throttled_since_ms: since when the destination has only
-- answered 429; throttling_shown_at_ms: the last attempt that was stored for it.
ALTER TABLE deliveries ADD COLUMN failing_since_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN failed_at_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN back_at_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN overtaken_at_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN throttled_since_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN throttling_shown_at_ms INTEGER;
-- What failed before: as if its latest attempt were the first that failed.
UPDATE deliveries SET (failing_since_ms, failed_at_ms) = (
    SELECT nullif(max(started_at_ms), 0), nullif(max(started_at_ms), 0) FROM attempts
    WHERE message_seq = deliveries.message_seq AND endpoint_seq = deliveries.endpoint_seq
) WHERE state IN ('pending', 'sending') AND tries > 0;
CREATE INDEX deliveries_to_hasten ON deliveries (endpoint_seq, failed_at_ms, message_seq)
    WHERE failed_at_ms IS NOT NULL AND back_at_ms IS NULL AND throttled_since_ms IS NULL AND state = 'pending';
CREATE INDEX deliveries_to_overtake ON deliveries (endpoint_seq, failing_since_ms, message_seq)
    WHERE failing_since_ms IS NOT NULL AND customer_key IS NOT NULL AND state = 'pending';
