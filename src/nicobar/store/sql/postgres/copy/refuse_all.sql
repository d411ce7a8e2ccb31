-- Nothing of a table is changed.
CREATE OR REPLACE TRIGGER moving_table BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
EXECUTE FUNCTION nicobar_moving()
