-- No new event is stored.
CREATE OR REPLACE TRIGGER moving_events BEFORE INSERT ON messages EXECUTE FUNCTION nicobar_moving()
