-- Removes the rows of a range of keys.
DELETE FROM {table} WHERE {range}
