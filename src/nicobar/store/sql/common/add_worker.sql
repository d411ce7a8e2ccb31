-- Adds a worker, which holds nothing yet. It knows the migrations up to this one.
INSERT INTO workers (id, beat, version) VALUES (:id, 1, 15)
