-- The largest number that a sequence or its table has given.
SELECT greatest((SELECT max({column}) FROM {table}), (SELECT CASE WHEN is_called THEN last_value END FROM {sequence}), 0)
