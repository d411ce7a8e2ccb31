-- What refuses changes while the data moves.
SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'moving@_%' ESCAPE '@'
