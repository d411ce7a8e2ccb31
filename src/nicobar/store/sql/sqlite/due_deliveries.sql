-- Deliveries that may be taken now, the longest due first; those whose lease has ended are among them.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms,
    m.accepted_at_ms, m.body, m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms,
    d.tries, d.lease, d.edition, d.manual
FROM deliveries AS d JOIN messages AS m ON m.seq = d.message_seq
WHERE d.endpoint_seq = :endpoint_seq AND d.due_at_ms <= :now_ms
    AND EXISTS (SELECT 1 FROM endpoints WHERE seq = :endpoint_seq AND removed = 0)
ORDER BY d.due_at_ms, d.message_seq
LIMIT :limit
