-- Removes the customer of some messages.
UPDATE messages SET customer_key = NULL WHERE seq {any_number_of seqs}
