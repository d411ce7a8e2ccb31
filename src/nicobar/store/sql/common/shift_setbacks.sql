-- Moves the failures of what was due at a time for some endpoints, since the clock was set: they are as long ago as before.
UPDATE deliveries SET {shifted_setbacks}
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms <= :after_ms AND failing_since_ms IS NOT NULL
