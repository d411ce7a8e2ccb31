-- Forgets the alerts of past hours.
DELETE FROM taken_alerts WHERE at_ms < :before_ms
