-- Sets or ends an endpoint's pause.
UPDATE endpoints SET paused_reason = :reason, content = json_set(content, '$.paused_by_hand', json(:by_hand))
WHERE id = :id AND removed = 0 RETURNING seq
