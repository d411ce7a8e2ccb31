(d.customer_key IS NULL OR d.lease = 0 OR NOT EXISTS (
        SELECT 1 FROM deliveries AS o
        WHERE o.endpoint_seq = d.endpoint_seq AND o.customer_key = d.customer_key AND o.state IN ('pending', 'sending')
            AND o.position > 0 AND (o.position, o.message_seq) < (d.position, d.message_seq)
    ))
