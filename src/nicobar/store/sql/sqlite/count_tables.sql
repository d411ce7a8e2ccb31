-- How many tables and indexes there are.
SELECT count(*) FROM sqlite_schema
