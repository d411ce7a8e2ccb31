-- A key that seals again.
DELETE FROM replaced_keys WHERE key_id = :key_id;
