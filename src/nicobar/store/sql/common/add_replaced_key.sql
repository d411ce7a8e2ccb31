-- A key that seals no more, and may be needed to open what it has sealed.
INSERT INTO replaced_keys (key_id, replaced_at_ms) VALUES (:key_id, :now_ms)
ON CONFLICT (key_id) DO UPDATE SET replaced_at_ms = excluded.replaced_at_ms, unused_since_ms = NULL;
