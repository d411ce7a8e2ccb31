-- Nothing of a table is changed.
CREATE TRIGGER IF NOT EXISTS {trigger} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, {place}); END
