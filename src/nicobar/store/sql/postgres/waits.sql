-- What an endpoint's unfinished deliveries wait for, and when the first of each kind is due, of as many as are looked at.
-- One that was appended and not put in order yet waits as it will.
SELECT CASE WHEN w.state = 'sending' THEN 'sending' WHEN w.behind THEN 'behind'
    WHEN w.due_at_ms <= :now_ms THEN 'due' ELSE 'later' END, count(*), min(w.due_at_ms)
FROM (
    SELECT d.state, d.due_at_ms, d.due_at_ms IS NULL OR d.position = 0 AND EXISTS (
        SELECT 1 FROM deliveries AS o
        WHERE o.endpoint_seq = d.endpoint_seq AND o.customer_key = d.customer_key AND o.state IN ('pending', 'sending')
            AND (o.position <> 0 OR o.message_seq < d.message_seq)
    ) AS behind
    FROM endpoints AS e JOIN deliveries AS d ON d.endpoint_seq = e.seq AND d.state IN ('pending', 'sending')
    WHERE e.id = :endpoint_id LIMIT :look
) AS w GROUP BY 1
