-- Makes deliveries of some endpoints due that are being sent; they may have been sent. Those that become due before a time
-- stay as they are: they were taken over, and who sent them before may still be sending.
UPDATE deliveries SET state = 'pending', due_at_ms = 0, lease = lease + 1, was = NULL
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms > :after_ms AND state = 'sending'
