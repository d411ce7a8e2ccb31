-- Whether something newer than a message was delivered to its customer.
SELECT EXISTS (
    SELECT 1 FROM messages AS m JOIN deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = :endpoint_seq
    WHERE m.app_id = :app_id AND m.customer_key = :customer_key AND m.seq > :message_seq AND d.state = 'success'
)
