-- Stores which installation this is, and its key.
INSERT INTO installation (id, installation_id, key_id) VALUES (1, :id, :key_id);
