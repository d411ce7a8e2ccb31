facts WHERE app_id = :app_id AND email {any_of emails} AND email IS NOT NULL
