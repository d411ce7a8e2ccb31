-- The attempts of some messages, as they are stored.
SELECT id, content FROM attempts WHERE message_seq {any_number_of seqs}
