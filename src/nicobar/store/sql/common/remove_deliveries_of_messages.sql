-- Deletes the deliveries of some messages.
DELETE FROM deliveries WHERE message_seq {any_number_of seqs}
