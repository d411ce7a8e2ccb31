-- Deletes facts of applications that no longer exist.
WITH RECURSIVE found (app_id) AS (
    SELECT min(app_id) FROM facts
    UNION ALL
    SELECT (SELECT min(app_id) FROM facts WHERE app_id > found.app_id) FROM found WHERE app_id IS NOT NULL
)
DELETE FROM facts WHERE (app_id, key) IN (
    SELECT f.app_id, f.key FROM facts AS f
    WHERE f.app_id IN (SELECT app_id FROM found WHERE app_id NOT IN (SELECT id FROM applications WHERE NOT removed)) LIMIT :limit
)
