-- What a claim leases: deliveries that are due, the longest due first, and those whose lease has expired. The endpoint
-- comes first: of a removed one nothing is read. None where the endpoint's lease has another term.
SELECT {message}, d.tries, d.lease, d.edition, d.manual, d.replay_key, d.accepted_ids, d.half_sent,
    {setbacks}
FROM endpoints AS e CROSS JOIN deliveries AS d ON d.endpoint_seq = e.seq JOIN messages AS m ON m.seq = d.message_seq
WHERE e.seq = :endpoint_seq AND NOT e.removed AND d.due_at_ms <= :now_ms AND {lease_has_term}
ORDER BY d.due_at_ms, d.message_seq
LIMIT :limit
