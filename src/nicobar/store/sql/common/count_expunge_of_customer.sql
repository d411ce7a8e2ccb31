-- How many messages a customer has, and how many of their deliveries are not finished.
SELECT (SELECT count(*) FROM messages WHERE app_id = :app_id AND customer_key = :customer_key), (
    SELECT count(*) FROM messages AS m {then_join} deliveries AS d ON d.message_seq = m.seq
    WHERE m.app_id = :app_id AND m.customer_key = :customer_key AND d.state IN ('pending', 'sending')
)
