-- What another worker was sending for some endpoints is due at a time, and only then may be sent again. What waits since
-- an earlier take-over waits no longer. Nothing that the other worker records changes them any more.
UPDATE deliveries SET due_at_ms = CASE WHEN due_at_ms < :due_at_ms THEN due_at_ms ELSE :due_at_ms END, lease = lease + 1
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms IS NOT NULL AND state = 'sending'
