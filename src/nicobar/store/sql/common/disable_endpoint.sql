-- Disables an endpoint with a reason.
UPDATE endpoints SET disabled = TRUE, disabled_reason = :reason WHERE id = :id AND NOT removed RETURNING seq
