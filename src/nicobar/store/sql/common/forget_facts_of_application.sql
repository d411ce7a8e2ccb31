-- Deletes facts of an application that were stated of events up to a time.
DELETE FROM facts WHERE (app_id, key) IN (
    SELECT app_id, key FROM facts WHERE app_id = :app_id AND occurred_at_ms <= :until_ms LIMIT :limit
)
