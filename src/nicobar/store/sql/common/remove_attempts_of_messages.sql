-- Deletes the attempts of some messages.
DELETE FROM attempts WHERE message_seq {any_number_of seqs}
