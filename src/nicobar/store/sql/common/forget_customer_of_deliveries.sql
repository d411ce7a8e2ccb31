-- Removes the customer of some messages' deliveries.
UPDATE deliveries SET customer_key = NULL WHERE message_seq {any_number_of seqs}
