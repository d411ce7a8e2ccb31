-- Whether the table of migrations has room for the oldest version that may run on one.
SELECT EXISTS (SELECT 1 FROM pragma_table_info('migrations') WHERE name = 'oldest')
