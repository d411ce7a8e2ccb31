SELECT m.seq AS message_seq, m.customer_key AS customer_key, {earlier_ids_elsewhere} AS earlier_ids
FROM {each customer_keys} AS c {then_join} messages AS m ON m.app_id = :app_id AND m.customer_key = c.value
WHERE m.seq > :after_seq AND m.seq <= :until_seq
    AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE message_seq = m.seq AND endpoint_seq = :endpoint_seq {row_by_row}
    )
    {replayable_filter}
