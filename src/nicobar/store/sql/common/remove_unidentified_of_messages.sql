-- Some messages wait for an identity no longer, at any endpoint.
DELETE FROM unidentified WHERE message_seq {any_number_of seqs}
