-- Deliveries that wait for an identity no longer.
DELETE FROM unidentified WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs}
