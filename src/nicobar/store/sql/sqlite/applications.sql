-- The applications that are not removed.
SELECT id, uid, content FROM applications WHERE removed = 0 ORDER BY id
