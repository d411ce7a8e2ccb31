-- The largest number that a table has given to a row; SQLite's next one is larger than those that are there.
SELECT coalesce(max({column}), 0) FROM {table}
