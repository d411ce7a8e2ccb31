-- The configuration stays as it is.
CREATE OR REPLACE TRIGGER moving_changes BEFORE UPDATE ON catalogue EXECUTE FUNCTION nicobar_moving()
