-- The modes of deleted sources.
SELECT id, mode FROM removed_sources ORDER BY id
