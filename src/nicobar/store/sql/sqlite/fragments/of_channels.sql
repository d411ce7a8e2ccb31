EXISTS (SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels)))
