-- Makes all deliveries of some endpoints that are being sent due; they may have been sent.
UPDATE deliveries SET state = 'pending', due_at_ms = 0, lease = lease + 1, was = NULL
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms IS NOT NULL AND state = 'sending'
