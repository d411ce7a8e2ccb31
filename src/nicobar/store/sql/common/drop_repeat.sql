-- A call cannot be sent once more.
DELETE FROM repeats WHERE endpoint_seq = :endpoint_seq AND person = :person AND turn = :turn AND {lease_has_term}
