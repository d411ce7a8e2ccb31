-- Says who did what.
INSERT INTO audit (at_ms, actor, action, app_id, subject, detail)
VALUES (:at_ms, :actor, :action, :app_id, :subject, :detail)
