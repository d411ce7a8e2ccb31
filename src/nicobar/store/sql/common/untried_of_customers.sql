-- The customers of whom a replay has put a delivery into the queue that was not tried since; looked for among what they
-- have waiting, which is less than what the replay has.
SELECT DISTINCT c.value FROM {each customer_keys} AS c {then_join} deliveries AS d ON d.customer_key = c.value
WHERE d.endpoint_seq = :endpoint_seq AND d.state IN ('pending', 'sending')
    AND d.state = 'pending' AND +d.task_seq = :task_seq AND d.was IS NOT NULL
