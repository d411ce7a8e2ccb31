id, app_id, updated_at_ms, sealed_credentials, content
