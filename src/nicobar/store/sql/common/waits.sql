-- What an endpoint's unfinished deliveries wait for, and when the first of each kind is due, of as many as are looked at.
SELECT CASE WHEN w.state = 'sending' THEN 'sending' WHEN w.due_at_ms IS NULL THEN 'behind'
    WHEN w.due_at_ms <= :now_ms THEN 'due' ELSE 'later' END, count(*), min(w.due_at_ms)
FROM (
    SELECT d.state, d.due_at_ms
    FROM endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq AND d.state IN ('pending', 'sending')
    WHERE e.id = :endpoint_id LIMIT :look
) AS w GROUP BY 1
