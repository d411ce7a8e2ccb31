-- Deletes a target of alerts.
DELETE FROM alert_targets WHERE id = :id
