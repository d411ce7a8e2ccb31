-- Every column: its table, and its place in the table's key, 0 for none. Litestream adds tables of its own.
SELECT t.name, c.name, c.pk FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '@_litestream%' ESCAPE '@'
    ORDER BY t.name, c.name
