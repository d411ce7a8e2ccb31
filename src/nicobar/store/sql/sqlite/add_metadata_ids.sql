-- Adds what may be an id in the metadata of a customer, as the stored fact has it.
INSERT INTO metadata_ids (app_id, name, value, key)
SELECT DISTINCT f.app_id, substr(m.key, 10),
    CAST(CASE m.type WHEN 'real' THEN printf('%.15g', m.value) ELSE m.value END AS TEXT), f.key
FROM facts AS f, json_each(f.content) AS l, json_each(l.value) AS m
WHERE f.app_id = :app_id AND f.key = :key AND m.key LIKE 'metadata.%' AND m.type IN ('text', 'integer', 'real')
    AND length(m.value) <= 150
