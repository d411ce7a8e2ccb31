-- Deletes old answers to idempotent requests.
DELETE FROM answers WHERE (token_id, key) IN (
    SELECT token_id, key FROM answers WHERE at_ms < :before_ms ORDER BY at_ms LIMIT :limit
)
