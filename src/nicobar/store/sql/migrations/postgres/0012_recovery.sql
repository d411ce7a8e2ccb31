-- Recovery after outages, of a database, and of what went wrong with an event.
-- Oldest version that may run on it: 11

-- === Workers ===

-- leaving: whether the worker stops: it takes no share of the endpoints, and still sends what is under way.
ALTER TABLE workers ADD COLUMN leaving boolean NOT NULL DEFAULT false;
