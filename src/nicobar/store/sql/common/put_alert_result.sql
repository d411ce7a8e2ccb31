-- Stores how the latest alert to a target ended.
INSERT INTO alert_results (target_id, content) VALUES (:target_id, :content)
ON CONFLICT (target_id) DO UPDATE SET content = excluded.content
