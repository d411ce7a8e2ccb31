-- Removes one row.
DELETE FROM {table} WHERE ({key}) = ({key_values})
