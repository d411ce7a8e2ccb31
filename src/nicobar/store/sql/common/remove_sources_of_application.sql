-- Deletes an application's sources.
DELETE FROM sources WHERE app_id = :app_id
