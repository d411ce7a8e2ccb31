-- A page of replays, newest first.
SELECT seq, id, app_id, endpoint_seq, endpoint_id, kind, status, filter, new_ids, after_seq, until_seq, expected, moved,
    created_at_ms, updated_at_ms, result
FROM tasks
WHERE app_id IN (SELECT value FROM json_each(:app_ids)) AND (:seq IS NULL OR seq < :seq) ORDER BY seq DESC LIMIT :limit
