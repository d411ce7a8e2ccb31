-- Stores a rejected request.
INSERT INTO refusals (source_id, at_ms, status, code, detail, event_id)
VALUES (:source_id, :at_ms, :status, :code, :detail, :event_id)
