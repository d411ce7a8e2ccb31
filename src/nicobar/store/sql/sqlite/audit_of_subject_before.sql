-- A page of the audit log of one thing, newest first.
SELECT seq, at_ms, actor, action, app_id, subject, detail FROM audit
WHERE subject = :subject AND seq > :above AND seq < :below
    AND (:app_id IS NULL OR app_id = :app_id) AND (:actor IS NULL OR actor = :actor)
    AND (:actions IS NULL OR action IN (SELECT value FROM json_each(:actions))) AND (:subject IS NULL OR subject = :subject)
    AND (:since_ms IS NULL OR at_ms >= :since_ms) AND (:until_ms IS NULL OR at_ms < :until_ms)
ORDER BY seq DESC LIMIT :limit
