-- Deliveries that a replay has put into the queue and that were not tried since.
SELECT message_seq, customer_key FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending') AND state = 'pending' AND task_seq = :task_seq
    AND tries = 0
LIMIT :limit
