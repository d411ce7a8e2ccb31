EXISTS (
        SELECT 1 FROM deliveries AS o WHERE o.message_seq = m.seq AND o.replay_key IS NULL AND o.state <> 'canceled'
            AND (o.endpoint_seq = d.endpoint_seq OR d.state = 'canceled')
        {row_by_row}
    )
