-- Adds a worker, which holds nothing yet.
INSERT INTO workers (id, beat) VALUES (:id, 1)
