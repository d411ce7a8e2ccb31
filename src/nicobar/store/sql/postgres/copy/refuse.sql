-- The error with which changes are refused, and where the data goes.
CREATE OR REPLACE FUNCTION nicobar_moving() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = 'NB001', MESSAGE = (SELECT place FROM moves); END $$
