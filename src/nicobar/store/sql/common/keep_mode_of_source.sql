-- Precedes the deletion of a source: its messages keep its mode.
INSERT INTO removed_sources (id, mode) SELECT id, mode FROM sources WHERE id = :id AND mode IS NOT NULL
ON CONFLICT (id) DO UPDATE SET mode = excluded.mode
