-- What refuses changes while the data moves, with the table.
SELECT t.tgname, c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND t.tgname LIKE 'moving@_%' ESCAPE '@'
