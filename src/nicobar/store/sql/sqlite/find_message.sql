-- One of an application's messages, by its id or else by its event id.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms, m.accepted_at_ms,
    m.body, m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms
FROM messages AS m
WHERE (:alerts OR m.source_id <> 'operational') AND m.app_id = :app_id AND m.seq = coalesce(
    (SELECT seq FROM messages WHERE id = :id), (SELECT seq FROM messages WHERE app_id = :app_id AND event_id = :id)
)
