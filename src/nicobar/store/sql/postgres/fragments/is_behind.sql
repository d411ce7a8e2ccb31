d.position = 0 AND EXISTS (
            SELECT 1 FROM deliveries AS o
            WHERE o.endpoint_seq = d.endpoint_seq AND o.customer_key = d.customer_key AND o.state IN ('pending', 'sending')
                AND (o.position <> 0 OR o.message_seq < d.message_seq) OFFSET 0
        )
