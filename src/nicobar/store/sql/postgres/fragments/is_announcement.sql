l.locktype = 'advisory' AND l.classid = 1851941246 AND l.objsubid = 2
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
