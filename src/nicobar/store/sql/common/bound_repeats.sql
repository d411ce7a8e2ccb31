-- Nothing is to be repeated to some endpoints later than a time: the clock by which it was set may have been ahead.
UPDATE repeats SET due_at_ms = :latest_repeat_ms
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms > :latest_repeat_ms
