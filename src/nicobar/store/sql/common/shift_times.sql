-- Moves what is due after a time, since the clock was set. Where it was set forward, only what waits for a try or under a
-- lease: what came since is due by the new time. What somebody wanted at a time stays at that time.
UPDATE deliveries SET due_at_ms = {greatest}(0, due_at_ms + :by_ms)
WHERE due_at_ms > :after_ms AND (:by_ms < 0 OR state = 'sending' OR reason IS NOT NULL)
    AND message_seq NOT IN (SELECT seq FROM messages WHERE deliver_at_ms > :after_ms)
