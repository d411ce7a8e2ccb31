-- How many rows of a table have text that matches in any column.
SELECT count(*) FROM {table} WHERE matches_any(:pattern, {columns})
