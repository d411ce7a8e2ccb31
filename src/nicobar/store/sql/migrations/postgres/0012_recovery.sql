-- Recovery after outages, of a database, and of what went wrong with an event.
-- Oldest version that may run on it: 11

-- === Workers ===

-- leaving: whether the worker stops: it takes no share of the endpoints, and still sends what is under way.
ALTER TABLE workers ADD COLUMN leaving boolean NOT NULL DEFAULT false;

-- === Retry schedules ===

-- retry_after_ms: the delay before each retry, a JSON array of milliseconds; NULL for the schedule of the settings.
ALTER TABLE endpoints ADD COLUMN retry_after_ms text;
