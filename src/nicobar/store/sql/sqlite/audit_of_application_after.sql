-- A page of the audit log of an application, oldest first.
SELECT seq, at_ms, actor, action, app_id, subject, detail FROM audit
WHERE app_id = :app_id AND seq > :above AND seq < :below
    AND (:app_id IS NULL OR app_id = :app_id) AND (:actor IS NULL OR actor = :actor)
    AND (:actions IS NULL OR action IN (SELECT value FROM json_each(:actions))) AND (:subject IS NULL OR subject = :subject)
    AND (:since_ms IS NULL OR at_ms >= :since_ms) AND (:until_ms IS NULL OR at_ms < :until_ms)
ORDER BY seq LIMIT :limit
