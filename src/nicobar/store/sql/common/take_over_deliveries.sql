-- What another worker was sending for some endpoints is due at a time, and only then may be sent again. Nothing that it
-- records changes them any more.
UPDATE deliveries SET due_at_ms = :due_at_ms, lease = lease + 1
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms IS NOT NULL AND state = 'sending'
