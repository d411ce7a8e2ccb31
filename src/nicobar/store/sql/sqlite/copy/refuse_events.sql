-- No new event is stored.
CREATE TRIGGER IF NOT EXISTS moving_events BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, {place}); END
