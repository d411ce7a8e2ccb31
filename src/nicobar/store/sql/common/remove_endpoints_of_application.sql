-- Deletes an application's endpoints; their history is kept.
UPDATE endpoints SET removed = TRUE WHERE app_id = :app_id AND NOT removed
