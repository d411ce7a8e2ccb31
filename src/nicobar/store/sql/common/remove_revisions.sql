-- Deletes the other bodies of some messages.
DELETE FROM message_revisions WHERE message_seq {any_number_of seqs}
