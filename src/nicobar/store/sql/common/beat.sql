-- Says that a worker runs, and whether it is about to end; changes no row where it was removed.
UPDATE workers SET beat = beat + 1, leaving = :leaving WHERE id = :id
