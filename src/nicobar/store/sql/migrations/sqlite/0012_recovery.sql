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
