-- By which values deliveries of a customer were ordered that an endpoint accepted, latest first.
SELECT d.customer_key, max(m.seq)
FROM messages AS m {then_join} deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = :endpoint_seq
WHERE m.app_id = :app_id AND m.customer_key = :customer_key AND d.state = 'success' AND d.customer_key IS NOT NULL
GROUP BY d.customer_key ORDER BY max(m.seq) DESC LIMIT 100
