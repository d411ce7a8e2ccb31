-- Counts what a replay would move: deliveries, events with ids of the earlier scheme, the oldest message, customers, and the
-- customers to whom something newer was delivered.
WITH found AS (
{replayable_missing}
), customers AS (
    SELECT customer_key, max(message_seq) AS message_seq FROM found WHERE customer_key IS NOT NULL GROUP BY customer_key
)
SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM found WHERE earlier_ids), (SELECT min(message_seq) FROM found),
    (SELECT count(*) FROM customers), (SELECT count(*) FROM customers AS c WHERE {overtaken})
