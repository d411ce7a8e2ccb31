-- Deletes the latest result of a deleted target of alerts.
DELETE FROM alert_results WHERE target_id = :id
