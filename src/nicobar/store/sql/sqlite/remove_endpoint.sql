-- Takes an endpoint out; its history stays.
UPDATE endpoints SET removed = 1 WHERE id = :id AND removed = 0 RETURNING id
