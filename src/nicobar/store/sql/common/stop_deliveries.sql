-- Cancels the deliveries of some messages that are not finished, leased ones included.
UPDATE deliveries SET {canceled}
WHERE message_seq {any_number_of seqs} AND state IN ('pending', 'sending')
