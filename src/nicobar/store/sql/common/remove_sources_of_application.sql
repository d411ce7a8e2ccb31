-- Takes an application's sources out.
DELETE FROM sources WHERE app_id = :app_id
