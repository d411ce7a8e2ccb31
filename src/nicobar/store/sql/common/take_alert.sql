-- Takes an alert about a problem on, unless a process already has taken on the same one.
INSERT INTO taken_alerts (id, content, at_ms) VALUES (:id, :content, :at_ms)
ON CONFLICT (id) DO UPDATE SET content = excluded.content, at_ms = excluded.at_ms
    WHERE taken_alerts.content <> excluded.content
