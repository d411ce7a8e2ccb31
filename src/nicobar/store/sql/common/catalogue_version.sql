-- The version of the configuration.
SELECT version FROM catalogue
