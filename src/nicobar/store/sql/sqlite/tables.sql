-- The tables, each with its definition. Litestream adds tables of its own.
SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
    AND name NOT LIKE '@_litestream%' ESCAPE '@'
