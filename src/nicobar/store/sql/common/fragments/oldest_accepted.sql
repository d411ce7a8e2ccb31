(
    SELECT accepted_at_ms FROM messages WHERE seq = (
        SELECT message_seq FROM deliveries
        WHERE endpoint_seq >= c.endpoint_seq AND endpoint_seq <= c.endpoint_seq AND state IN ('pending', 'sending')
        ORDER BY endpoint_seq, message_seq LIMIT 1
    )
)
