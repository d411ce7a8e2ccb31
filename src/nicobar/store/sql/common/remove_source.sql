-- Deletes a source.
DELETE FROM sources WHERE id = :id
