name, sha256, role, created_at_ms, expires_at_ms
