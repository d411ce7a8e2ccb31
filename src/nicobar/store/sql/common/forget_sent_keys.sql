-- Deletes old ids that were made of natural keys.
DELETE FROM sent_keys WHERE (workspace, event_id) IN (
    SELECT workspace, event_id FROM sent_keys WHERE sent_at_ms < :before_ms ORDER BY sent_at_ms LIMIT :limit
)
