-- Whether a replay has put a customer's delivery into the queue that was not tried since; looked for among what the
-- customer has waiting, which is less than what the replay has.
SELECT 1 FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND customer_key = :customer_key AND state IN ('pending', 'sending')
    AND state = 'pending' AND +task_seq = :task_seq AND was IS NOT NULL LIMIT 1
