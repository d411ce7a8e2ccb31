-- Makes the first unfinished delivery of some customers due, if it was waiting for an earlier one: since it was accepted, or
-- replayed, so that it keeps its place among other customers.
UPDATE deliveries SET due_at_ms = {since_placed}
WHERE state = 'pending' AND due_at_ms IS NULL AND (message_seq, endpoint_seq) IN (
    SELECT (
        SELECT message_seq FROM deliveries
        WHERE endpoint_seq = e.value AND customer_key = c.value AND state IN ('pending', 'sending')
        ORDER BY position, message_seq LIMIT 1
    ), e.value
    FROM json_each(:endpoint_seqs) AS e JOIN json_each(:customer_keys) AS c ON c.key = e.key
)
