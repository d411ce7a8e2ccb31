-- How many endpoints there are.
SELECT count(*) FROM endpoints WHERE NOT removed
