facts INDEXED BY facts_by_email WHERE app_id = :app_id AND email IS NOT NULL
