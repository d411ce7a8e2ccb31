SELECT d.message_seq AS message_seq, m.customer_key AS customer_key, {earlier_ids} AS earlier_ids
FROM {each customer_keys} AS c {then_join} messages AS m ON m.app_id = :app_id AND m.customer_key = c.value
    {then_join} deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = :endpoint_seq
WHERE m.seq > :after_seq AND m.seq <= :until_seq
    {finished_and_fit}
    {replayable_filter}
