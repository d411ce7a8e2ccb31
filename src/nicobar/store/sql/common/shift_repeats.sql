-- Moves what is to be repeated after a time to some endpoints, since the clock was set.
UPDATE repeats SET due_at_ms = {greatest}(0, due_at_ms + :by_ms)
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms > :after_ms
