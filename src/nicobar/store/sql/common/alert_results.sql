-- How the latest alert to each target ended.
SELECT target_id, content FROM alert_results ORDER BY target_id
