-- Takes an alert about a problem on, unless a process has taken on the same one a short time ago.
INSERT INTO taken_alerts (id, content, at_ms) VALUES (:id, :content, :at_ms)
ON CONFLICT (id) DO UPDATE SET content = excluded.content, at_ms = excluded.at_ms
    WHERE taken_alerts.content <> excluded.content OR taken_alerts.at_ms < :again_before_ms
