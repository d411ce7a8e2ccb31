-- Deletes older merges that have ended.
DELETE FROM merges WHERE seq < :seq AND status <> 'running'
