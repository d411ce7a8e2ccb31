-- Deletes an application; its history is kept, its uid is free again.
UPDATE applications SET removed = TRUE, uid = id WHERE id = :id AND NOT removed RETURNING id
