-- Frees every lease, with a higher term.
UPDATE leases SET holder = '', term = term + :by
