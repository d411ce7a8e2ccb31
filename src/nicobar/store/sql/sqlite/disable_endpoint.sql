-- Disables an endpoint and says why.
UPDATE endpoints SET disabled = 1, disabled_reason = :reason WHERE id = :id AND removed = 0 RETURNING seq
