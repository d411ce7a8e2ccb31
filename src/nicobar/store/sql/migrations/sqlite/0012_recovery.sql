-- Recovery after outages, of a database, and of what went wrong with an event.
-- Oldest version that may run on it: 11

-- === Workers ===

-- leaving: 1 for a worker that stops: it takes no share of the endpoints, and still sends what is under way.
ALTER TABLE workers ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0;

-- === Retry schedules ===

-- retry_after_ms: the delay before each retry, a JSON array of milliseconds; NULL for the schedule of the settings.
ALTER TABLE endpoints ADD COLUMN retry_after_ms TEXT;
