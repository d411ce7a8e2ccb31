-- A page of a message's tries, oldest first, of those between two places.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms, m.accepted_at_ms,
    x'', m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms,
    e.id, a.id, a.content
FROM messages AS m CROSS JOIN attempts AS a ON a.message_seq = m.seq CROSS JOIN endpoints AS e ON e.seq = a.endpoint_seq
WHERE m.id = :message_id AND (:endpoint_id IS NULL OR e.id = :endpoint_id) AND a.id > :above AND a.id < :below
    AND (:since_ms IS NULL OR a.started_at_ms >= :since_ms) AND (:until_ms IS NULL OR a.started_at_ms < :until_ms)
    AND (:states = '[]' OR a.state IN (SELECT value FROM json_each(:states)))
    AND (:status_class IS NULL OR coalesce(a.status, 0) / 100 = :status_class)
    AND (:event_types = '[]' OR m.event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:channels = '[]' OR EXISTS (
        SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels))
    ))
    AND (:alerts OR m.source_id <> 'operational')
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag))
ORDER BY a.id LIMIT :limit
