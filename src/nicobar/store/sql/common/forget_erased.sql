-- Deletes what is known of erased customers of applications that no longer exist.
DELETE FROM erased WHERE (app_id, digest) IN (
    SELECT e.app_id, e.digest FROM erased AS e
    WHERE e.app_id NOT IN (SELECT id FROM applications WHERE NOT removed) LIMIT :limit
)
