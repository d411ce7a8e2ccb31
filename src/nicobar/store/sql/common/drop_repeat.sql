-- A call cannot be sent once more.
DELETE FROM repeats
WHERE place = :place AND person = :person AND endpoint_seq = :endpoint_seq AND turn = :turn AND {lease_has_term}
