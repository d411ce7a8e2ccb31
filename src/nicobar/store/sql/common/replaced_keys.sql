-- The keys that were replaced, and since when nothing is sealed with them.
SELECT key_id, replaced_at_ms, unused_since_ms FROM replaced_keys ORDER BY replaced_at_ms, key_id;
