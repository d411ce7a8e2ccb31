-- Writes a row that is never the same.
UPDATE catalogue SET checks = checks + 1
