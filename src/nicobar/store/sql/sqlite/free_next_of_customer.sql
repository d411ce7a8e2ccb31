-- Makes a customer's first unfinished delivery due, if it was waiting for an earlier one: since it was accepted, or replayed,
-- so that it keeps its place among other customers.
UPDATE deliveries SET due_at_ms = {since_placed}
WHERE endpoint_seq = :endpoint_seq AND state = 'pending' AND due_at_ms IS NULL AND message_seq = (
    SELECT message_seq FROM deliveries
    WHERE endpoint_seq = :endpoint_seq AND customer_key = :customer_key AND state IN ('pending', 'sending')
    ORDER BY position, message_seq LIMIT 1
)
