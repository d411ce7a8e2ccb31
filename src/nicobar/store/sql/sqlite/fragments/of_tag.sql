EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag)
