-- Says that a worker runs; changes no row where it was removed.
UPDATE workers SET beat = beat + 1 WHERE id = :id
