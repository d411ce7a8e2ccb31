facts WHERE app_id = :app_id AND email IS NOT NULL
