-- Takes an alert on, unless a process already has.
INSERT INTO taken_alerts (id, at_ms) VALUES (:id, :at_ms) ON CONFLICT (id) DO NOTHING
