-- What an endpoint's deliveries wait for that are not behind an earlier one: of the next `look` that are due, and of the
-- next `look` that are due later, how many of each state there are and when the first one is due. The state is not asked
-- for within: an index of what is not finished would be read over all of it.
SELECT w.kind, w.state, w.behind, count(*), min(w.due_at_ms)
FROM (
    SELECT * FROM (
        SELECT 'due' AS kind, d.state, d.due_at_ms, {is_behind} AS behind FROM deliveries AS d
        WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms <= :now_ms ORDER BY d.due_at_ms LIMIT :look
    ) AS due
    UNION ALL
    SELECT * FROM (
        SELECT 'later', d.state, d.due_at_ms, {is_behind} FROM deliveries AS d
        WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms > :now_ms ORDER BY d.due_at_ms LIMIT :look
    ) AS later
) AS w GROUP BY w.kind, w.state, w.behind
