-- Which migrations were applied.
CREATE TABLE IF NOT EXISTS migrations
(number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at_ms INTEGER NOT NULL)
