-- No delivery is sent. What is being sent ends.
CREATE TRIGGER IF NOT EXISTS moving_claims BEFORE UPDATE OF state ON deliveries WHEN NEW.state = 'sending'
BEGIN SELECT RAISE(ABORT, {place}); END
