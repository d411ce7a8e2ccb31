-- All applications.
SELECT id, uid FROM applications ORDER BY id
