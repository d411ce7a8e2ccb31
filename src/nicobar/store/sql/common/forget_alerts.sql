-- Forgets alerts that were taken on long ago.
DELETE FROM taken_alerts WHERE at_ms < :before_ms
