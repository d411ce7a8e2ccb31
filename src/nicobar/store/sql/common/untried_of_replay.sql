-- Deliveries that a replay has put into the queue and that were not tried since.
SELECT message_seq, customer_key FROM deliveries
WHERE task_seq = :task_seq AND was IS NOT NULL AND state = 'pending' ORDER BY message_seq LIMIT :limit
