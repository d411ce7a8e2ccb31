-- Makes deliveries of some endpoints due that wait for their first attempt, and none due later than a time, except
-- scheduled ones.
UPDATE deliveries SET due_at_ms = CASE WHEN state = 'pending' AND reason IS NULL THEN :now_ms ELSE :latest_ms END
WHERE endpoint_seq {any_number_of endpoint_seqs} AND due_at_ms > :now_ms
    AND (due_at_ms > :latest_ms OR state = 'pending' AND reason IS NULL)
    AND message_seq NOT IN (SELECT seq FROM messages WHERE deliver_at_ms > :now_ms)
