-- Takes an application out; its history stays, its uid is free again.
UPDATE applications SET removed = TRUE, uid = id WHERE id = :id AND NOT removed RETURNING id
