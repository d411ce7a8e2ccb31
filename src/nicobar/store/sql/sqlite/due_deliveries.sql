-- Deliveries that may be taken now, the longest due first; those whose lease has ended are among them. The endpoint comes
-- first: of one that was removed nothing is read.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms,
    m.accepted_at_ms, m.body, m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms,
    d.tries, d.lease, d.edition, d.manual, d.replay_key
FROM endpoints AS e CROSS JOIN deliveries AS d ON d.endpoint_seq = e.seq JOIN messages AS m ON m.seq = d.message_seq
WHERE e.seq = :endpoint_seq AND e.removed = 0 AND d.due_at_ms <= :now_ms
ORDER BY d.due_at_ms, d.message_seq
LIMIT :limit
