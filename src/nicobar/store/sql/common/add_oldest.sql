-- Makes room for the oldest version that may run on a migration, which the first versions did not store.
ALTER TABLE migrations ADD COLUMN oldest BIGINT
