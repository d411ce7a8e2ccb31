WITH found AS (
{$}
), customers AS (
    SELECT customer_key, max(message_seq) AS message_seq FROM found WHERE customer_key IS NOT NULL GROUP BY customer_key
)
SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM found WHERE earlier_ids), (SELECT min(message_seq) FROM found),
    (SELECT count(*) FROM customers), (SELECT count(*) FROM customers AS c WHERE {overtaken})
