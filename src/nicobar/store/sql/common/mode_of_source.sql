-- The kind and the mode of a source.
SELECT kind, mode FROM sources WHERE id = :id
