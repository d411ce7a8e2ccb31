-- A call cannot be repeated.
DELETE FROM repeats
WHERE place = :place AND person = :person AND endpoint_seq = :endpoint_seq AND turn = :turn AND {lease_has_term}
