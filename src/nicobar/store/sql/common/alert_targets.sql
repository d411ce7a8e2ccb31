-- All targets of alerts.
SELECT id, name, sealed, content FROM alert_targets ORDER BY id
