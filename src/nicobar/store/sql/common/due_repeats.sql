-- What an endpoint is to be repeated now, the longest due first. Unfinished deliveries in the same order, at some
-- endpoints, come first: they may send something newer. One that was overtaken sends only events. None where the endpoint's
-- lease has another term, and none while a worker runs that may send something newer without a trace here.
SELECT r.place, r.person, r.turn, r.content, (SELECT version FROM catalogue) AS catalogue_version FROM repeats AS r
WHERE r.endpoint_seq = :endpoint_seq AND r.due_at_ms BETWEEN :late_ms AND :now_ms AND r.sent_at_ms IS NULL AND {lease_has_term}
    AND NOT EXISTS (
        SELECT 1 FROM deliveries AS d
        WHERE d.endpoint_seq {any_number_of endpoint_seqs} AND d.customer_key = r.order_key
            AND d.state IN ('pending', 'sending') AND d.overtaken_at_ms IS NULL
    ) AND NOT EXISTS (SELECT 1 FROM workers WHERE version IS NULL)
ORDER BY r.due_at_ms, r.person LIMIT :limit
