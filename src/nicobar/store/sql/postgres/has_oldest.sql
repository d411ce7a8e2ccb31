-- Whether the table of migrations has room for the oldest version that may run on one.
SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = CAST('migrations' AS regclass) AND attname = 'oldest')
