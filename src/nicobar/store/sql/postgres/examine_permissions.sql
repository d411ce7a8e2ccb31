-- Whether tables may be created, which tables may not be read and written, and which belong to another user.
SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), FALSE),
    coalesce(string_agg(relname, ', ' ORDER BY relname) FILTER (WHERE NOT (has_table_privilege(oid, 'SELECT')
        AND has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))), ''),
    coalesce(string_agg(relname, ', ' ORDER BY relname) FILTER (WHERE NOT pg_has_role(relowner, 'USAGE')), '')
FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = CAST(current_schema() AS regnamespace)
