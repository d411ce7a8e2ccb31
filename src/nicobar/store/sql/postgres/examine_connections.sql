-- How many connections the server, the database and the user may have, -1 for any number, and how many there are.
SELECT CAST(current_setting('max_connections') AS bigint) - CAST(current_setting('superuser_reserved_connections') AS bigint)
        - coalesce(CAST(current_setting('reserved_connections', TRUE) AS bigint), 0),
    (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
    (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
    (SELECT CAST(sum(numbackends) AS bigint) FROM pg_stat_database)
