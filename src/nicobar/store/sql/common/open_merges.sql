-- The merges that are running, oldest first.
SELECT {merge} FROM merges WHERE status = 'running' ORDER BY seq
