-- The server's version as a number, and the database's encoding.
SELECT CAST(current_setting('server_version_num') AS bigint), current_setting('server_encoding')
