-- Replaces attempts as they are stored.
UPDATE attempts SET content = from_base64(json_extract(:contents, '$[' || i.key || ']'))
FROM json_each(:ids) AS i WHERE attempts.id = i.value
