-- Takes an application out; its history stays, its uid is free again.
UPDATE applications SET removed = 1, uid = id WHERE id = :id AND removed = 0 RETURNING id
