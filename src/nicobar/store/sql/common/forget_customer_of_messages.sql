-- Removes the customer of some messages.
UPDATE messages SET customer_key = NULL, customer_email = NULL, customer_name = NULL WHERE seq {any_number_of seqs}
