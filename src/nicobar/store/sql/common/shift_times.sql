-- Moves what is due after a time for some endpoints, since the clock was set. Where it was set forward, only what waits
-- for an attempt or under a lease: deliveries added since are due by the new time. Scheduled ones stay at their time.
UPDATE deliveries SET due_at_ms = {greatest}(0, due_at_ms + :by_ms), {shifted_setbacks}
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms > :after_ms
    AND (:by_ms < 0 OR state = 'sending' OR reason IS NOT NULL)
    AND message_seq NOT IN (SELECT seq FROM messages WHERE deliver_at_ms > :after_ms)
