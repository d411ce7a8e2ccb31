-- The applications that are not removed.
SELECT id, uid, content FROM applications WHERE NOT removed ORDER BY id
