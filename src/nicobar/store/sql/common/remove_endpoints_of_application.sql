-- Takes an application's endpoints out; their history stays.
UPDATE endpoints SET removed = TRUE WHERE app_id = :app_id AND NOT removed
