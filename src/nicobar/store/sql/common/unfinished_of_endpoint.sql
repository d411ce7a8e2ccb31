-- How many of an endpoint's deliveries wait and how many are being sent, of messages between two places.
SELECT d.state, count(*)
FROM endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq AND d.state IN ('pending', 'sending')
WHERE e.id = :endpoint_id AND d.message_seq > :above AND d.message_seq < :below
GROUP BY d.state
