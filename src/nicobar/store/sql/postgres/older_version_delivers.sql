-- A row where a process of version 10 delivers: it holds a lock for that.
SELECT TRUE WHERE EXISTS ({older_version_delivers})
