-- No delivery is sent. What is being sent ends.
CREATE OR REPLACE TRIGGER moving_claims BEFORE UPDATE OF state ON deliveries
FOR EACH ROW WHEN (NEW.state = 'sending') EXECUTE FUNCTION nicobar_moving()
