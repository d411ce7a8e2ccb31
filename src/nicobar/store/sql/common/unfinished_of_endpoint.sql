-- How many of an endpoint's deliveries wait and how many are being sent, of messages between two places.
SELECT state, count(*) FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending') AND message_seq > :above AND message_seq < :below
GROUP BY state
