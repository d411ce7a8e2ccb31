-- Every column: its table, its place in the table's key (0 for none), its type, and the sequence that numbers it.
SELECT c.relname, a.attname, coalesce(array_position(CAST(i.indkey AS smallint[]), a.attnum) + 1, 0),
    format_type(a.atttypid, NULL), pg_get_serial_sequence(quote_ident(c.relname), a.attname)
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname COLLATE "C", a.attname COLLATE "C"
