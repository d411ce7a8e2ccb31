-- Sets or ends an endpoint's pause.
UPDATE endpoints SET paused_reason = :reason WHERE id = :id AND removed = 0 RETURNING seq
