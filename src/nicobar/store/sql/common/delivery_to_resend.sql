-- A message, an endpoint, and the delivery between them, if there is one; an alert has no others than its own.
SELECT m.seq, e.seq, m.expunged_at_ms, d.state, d.due_at_ms
FROM messages AS m JOIN endpoints AS e ON e.app_id = m.app_id AND NOT e.removed
    LEFT JOIN deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = e.seq
WHERE m.id = :message_id AND e.id = :endpoint_id AND (m.source_id <> 'operational' OR d.state IS NOT NULL)
