-- Takes an endpoint out; its history stays.
UPDATE endpoints SET removed = TRUE WHERE id = :id AND NOT removed RETURNING id
