-- What an endpoint's pending deliveries wait for, that are not behind an earlier one: of the next `look` that are due, and
-- of the next `look` that are due later, how many wait and since or until when the first one does.
SELECT w.kind, w.behind, count(*), min(w.due_at_ms)
FROM (
    SELECT * FROM (
        SELECT 'due' AS kind, d.due_at_ms, {is_behind} AS behind
        FROM endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq
        WHERE e.id = :endpoint_id AND d.due_at_ms <= :now_ms AND d.state = 'pending'
        ORDER BY d.due_at_ms LIMIT :look
    ) AS due
    UNION ALL
    SELECT * FROM (
        SELECT 'later', d.due_at_ms, {is_behind}
        FROM endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq
        WHERE e.id = :endpoint_id AND d.due_at_ms > :now_ms AND d.state = 'pending'
        ORDER BY d.due_at_ms LIMIT :look
    ) AS later
) AS w GROUP BY w.kind, w.behind
