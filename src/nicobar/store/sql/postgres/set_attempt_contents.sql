-- Replaces attempts as they are stored.
UPDATE attempts AS a SET content = g.content
FROM unnest(CAST(:ids AS text[]), CAST(:contents AS bytea[])) AS g (id, content) WHERE a.id = g.id
