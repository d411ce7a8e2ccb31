-- Puts what was appended to some endpoints in order, by message. The first of a customer is due; it waits where the
-- customer has an unfinished one in order, and then stands behind that one, even if its message is older: of each
-- customer's deliveries that are in order, the first is due and the others wait. No delivery waits for a canceled one.
WITH appended AS (
    SELECT message_seq, endpoint_seq, customer_key,
        row_number() OVER (PARTITION BY endpoint_seq, customer_key, state = 'pending' ORDER BY message_seq) AS number
    FROM (
        SELECT message_seq, endpoint_seq, customer_key, state FROM deliveries
        WHERE endpoint_seq = ANY(CAST(:endpoint_seqs AS bigint[])) AND position = 0
        ORDER BY endpoint_seq, message_seq LIMIT :limit
    ) AS first_ones
), placed AS MATERIALIZED (
    SELECT a.message_seq, a.endpoint_seq, a.number, (
        SELECT position FROM deliveries
        WHERE endpoint_seq = a.endpoint_seq AND customer_key = a.customer_key AND state IN ('pending', 'sending')
            AND position > 0
        ORDER BY position, message_seq LIMIT 1
    ) AS first_position
    FROM appended AS a
)
UPDATE deliveries AS d SET position = greatest(d.message_seq << 20, p.first_position + 1),
    due_at_ms = CASE WHEN d.customer_key IS NULL OR p.number = 1 AND p.first_position IS NULL THEN d.due_at_ms END
FROM placed AS p WHERE d.message_seq = p.message_seq AND d.endpoint_seq = p.endpoint_seq
