-- One try, with its message and its endpoint.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms, m.accepted_at_ms,
    x'', m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms,
    e.id, a.id, a.content
FROM attempts AS a JOIN messages AS m ON m.seq = a.message_seq JOIN endpoints AS e ON e.seq = a.endpoint_seq
WHERE a.id = :id
