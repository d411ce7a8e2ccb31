-- Some deliveries of an endpoint without an identity are looked at again: what was stated while they were queued told none.
UPDATE unidentified SET checked = -1 WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs}
