-- Which migrations were applied. The comment says whose table it is.
CREATE TABLE IF NOT EXISTS migrations
(number bigint PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at_ms bigint NOT NULL)
