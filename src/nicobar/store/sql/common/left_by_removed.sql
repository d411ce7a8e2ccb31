-- A removed endpoint with deliveries that wait, or whose lease has ended.
SELECT e.seq FROM endpoints AS e
WHERE e.removed AND EXISTS (
    SELECT 1 FROM deliveries
    WHERE endpoint_seq = e.seq AND state IN ('pending', 'sending') AND (state = 'pending' OR due_at_ms <= :now_ms)
) LIMIT 1
