-- Who may do what, and what is kept of it.
-- Oldest version that may run on it: 11


-- === Personal data ===

-- The backups that `nicobar backup` made of this database: they keep what is deleted later.
CREATE TABLE backups (path TEXT PRIMARY KEY, taken_at_ms INTEGER NOT NULL) WITHOUT ROWID;
-- For deleting a customer's ids.
CREATE INDEX sent_keys_by_message ON sent_keys (message_id);
