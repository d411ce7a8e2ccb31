-- Deletes some messages.
DELETE FROM messages WHERE seq {any_number_of seqs}
