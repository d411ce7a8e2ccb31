-- A customer or an object was erased.
INSERT INTO erased (app_id, digest, erased_at_ms) VALUES (:app_id, :digest, :now_ms)
ON CONFLICT (app_id, digest) DO UPDATE SET erased_at_ms = excluded.erased_at_ms WHERE erased.erased_at_ms < excluded.erased_at_ms
