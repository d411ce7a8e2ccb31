-- A message's deliveries.
SELECT m.id, e.id, d.state, d.tries, d.due_at_ms, d.reason
FROM messages AS m JOIN deliveries AS d ON d.message_seq = m.seq JOIN endpoints AS e ON e.seq = d.endpoint_seq
WHERE m.id = :message_id ORDER BY e.seq
