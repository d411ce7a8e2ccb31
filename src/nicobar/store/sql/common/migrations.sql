-- The migrations that were applied.
SELECT number, sha256, oldest FROM migrations
