-- Makes deliveries of an endpoint due that are being sent, except some, if the lease of its endpoint has that term; they
-- may have been sent. Those that become due before a time stay: they were taken over, and may still be under way elsewhere.
UPDATE deliveries SET state = 'pending', due_at_ms = 0, lease = lease + 1, was = NULL
WHERE endpoint_seq = :endpoint_seq AND due_at_ms > :after_ms AND state = 'sending'
    AND NOT (message_seq {any_number_of message_seqs}) AND {lease_has_term}
