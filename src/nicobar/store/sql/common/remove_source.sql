-- Takes a source out.
DELETE FROM sources WHERE id = :id
