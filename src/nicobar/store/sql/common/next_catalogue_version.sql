-- Increments the version of the configuration.
UPDATE catalogue SET version = version + 1 RETURNING version
