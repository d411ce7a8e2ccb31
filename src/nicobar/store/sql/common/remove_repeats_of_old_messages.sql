-- Nothing is repeated that was last said by some messages, whose time has passed.
DELETE FROM repeats WHERE message_seq {any_number_of seqs}
