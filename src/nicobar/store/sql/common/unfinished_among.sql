-- By which of some values unfinished deliveries of an endpoint are ordered, or calls of its application that are to be
-- repeated.
SELECT customer_key FROM deliveries
WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending') AND customer_key {any_of customer_keys}
UNION SELECT order_key FROM repeats
WHERE order_key {any_of customer_keys} AND endpoint_seq IN (
    SELECT seq FROM endpoints WHERE app_id = (SELECT app_id FROM endpoints WHERE seq = :endpoint_seq)
)
