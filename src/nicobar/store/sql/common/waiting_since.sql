-- Since when the oldest unfinished delivery of each endpoint waits: since its message was accepted, or since it was to be
-- sent. Messages that are to be sent later do not wait.
SELECT c.endpoint_seq, (
    SELECT {greatest}(m.accepted_at_ms, coalesce(m.deliver_at_ms, 0))
    FROM deliveries AS d JOIN messages AS m ON m.seq = d.message_seq
    WHERE d.endpoint_seq >= c.endpoint_seq AND d.endpoint_seq <= c.endpoint_seq AND d.state IN ('pending', 'sending')
        AND (m.deliver_at_ms IS NULL OR m.deliver_at_ms <= :now_ms)
    ORDER BY d.endpoint_seq, d.message_seq LIMIT 1
)
FROM queue_counts AS c GROUP BY c.endpoint_seq HAVING sum(c.pending + c.sending) > 0
