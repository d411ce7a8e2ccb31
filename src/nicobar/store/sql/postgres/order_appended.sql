-- Puts what was appended to some endpoints in order, by message, the first of it: due, or waiting where its customer has
-- an unfinished one.
WITH appended AS (
    SELECT message_seq, endpoint_seq,
        row_number() OVER (PARTITION BY endpoint_seq, customer_key ORDER BY message_seq) AS number
    FROM (
        SELECT message_seq, endpoint_seq, customer_key FROM deliveries
        WHERE endpoint_seq = ANY(CAST(:endpoint_seqs AS bigint[])) AND position = 0
        ORDER BY endpoint_seq, message_seq LIMIT :limit
    ) AS first_ones
)
UPDATE deliveries AS d SET position = d.message_seq << 20, due_at_ms = CASE
    WHEN d.customer_key IS NULL OR a.number = 1 AND NOT EXISTS (
        SELECT 1 FROM deliveries AS o
        WHERE o.endpoint_seq = d.endpoint_seq AND o.customer_key = d.customer_key
            AND o.state IN ('pending', 'sending') AND o.position <> 0
    ) THEN d.due_at_ms END
FROM appended AS a WHERE d.message_seq = a.message_seq AND d.endpoint_seq = a.endpoint_seq
