-- The latest alert about each problem.
SELECT id, content FROM taken_alerts
