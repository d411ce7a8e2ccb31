EXISTS (
        SELECT 1 FROM messages AS m {then_join} deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = :endpoint_seq
        WHERE m.app_id = :app_id AND m.customer_key = c.customer_key AND m.seq > c.message_seq AND d.state = 'success'
    )
