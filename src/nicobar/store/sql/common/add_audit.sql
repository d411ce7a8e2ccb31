-- Adds a line to the audit log.
INSERT INTO audit (at_ms, actor, action, app_id, subject, detail)
VALUES (:at_ms, :actor, :action, :app_id, :subject, :detail)
