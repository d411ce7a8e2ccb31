-- The next rows of a range of keys.
SELECT {columns} FROM {table} WHERE {range} ORDER BY {key} LIMIT :limit
