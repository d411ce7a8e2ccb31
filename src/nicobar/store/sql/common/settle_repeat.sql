-- A call was repeated, or could not be, unless a newer one has replaced it meanwhile.
UPDATE repeats SET due_at_ms = :due_at_ms, sent_at_ms = :sent_at_ms, turn = turn + 1
WHERE place = :place AND person = :person AND endpoint_seq = :endpoint_seq AND turn = :turn AND {lease_has_term}
