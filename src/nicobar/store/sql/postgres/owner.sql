-- Whose tables these are: the comment of the table of migrations, or '' where another program's tables have our names.
SELECT CASE WHEN to_regclass('migrations') IS NOT NULL
    THEN coalesce(obj_description(to_regclass('migrations'), 'pg_class'), '')
    WHEN coalesce(to_regclass('messages'), to_regclass('endpoints'), to_regclass('users')) IS NOT NULL THEN '' END
