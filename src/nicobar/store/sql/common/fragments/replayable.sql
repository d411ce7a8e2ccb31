SELECT d.message_seq AS message_seq, m.customer_key AS customer_key, {earlier_ids} AS earlier_ids
FROM deliveries AS d JOIN messages AS m ON m.seq = d.message_seq
WHERE d.endpoint_seq = :endpoint_seq AND d.message_seq > :after_seq AND d.message_seq <= :until_seq
    {finished_and_fit}
    {replayable_filter}
