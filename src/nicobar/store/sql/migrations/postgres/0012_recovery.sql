-- Recovery after outages, of a database, and of what went wrong with an event.
-- Oldest version that may run on it: 11

-- === Workers ===

-- leaving: whether the worker stops: it takes no share of the endpoints, and still sends what is under way.
ALTER TABLE workers ADD COLUMN leaving boolean NOT NULL DEFAULT false;

-- === New deliveries ===

-- Those that are due and were not attempted yet, which get a share of each claim beside a backlog.
CREATE INDEX deliveries_new ON deliveries (endpoint_seq, due_at_ms, message_seq)
    WHERE due_at_ms IS NOT NULL AND position <> 0 AND state = 'pending' AND tries = 0 AND reason IS NULL AND NOT manual;
