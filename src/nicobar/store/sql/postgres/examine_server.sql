-- What decides whether the server is usable and safe.
SELECT CAST(current_setting('server_version_num') AS bigint), split_part(current_setting('server_version'), ' ', 1),
    current_setting('server_encoding'), pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
    CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint), current_setting('synchronous_commit'),
    current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', pg_backend_pid()
