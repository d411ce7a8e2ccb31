    AND NOT EXISTS (
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = 1851941235 AND objsubid = 1
    )
