SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = 1851941235 AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
