-- Deletes an endpoint; its history is kept.
UPDATE endpoints SET removed = TRUE WHERE id = :id AND NOT removed RETURNING id
