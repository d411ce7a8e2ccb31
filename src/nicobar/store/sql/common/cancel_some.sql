-- Cancels some of an endpoint's deliveries that wait, or whose lease has ended.
UPDATE deliveries SET {canceled}
WHERE endpoint_seq = :endpoint_seq AND message_seq IN (
    SELECT message_seq FROM deliveries
    WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending') AND (state = 'pending' OR due_at_ms <= :now_ms)
    LIMIT :limit
)
