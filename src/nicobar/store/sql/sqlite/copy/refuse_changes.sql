-- The configuration stays as it is.
CREATE TRIGGER IF NOT EXISTS moving_changes BEFORE UPDATE ON catalogue BEGIN SELECT RAISE(ABORT, {place}); END
