-- Records an applied migration.
INSERT INTO migrations (number, name, sha256, applied_at_ms, oldest)
VALUES (:number, :name, :sha256, :applied_at_ms, :oldest)
