-- A page of an application's messages, oldest first, of those between two places.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms, m.accepted_at_ms,
    CASE WHEN :with_body THEN m.body ELSE x'' END, m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms
FROM messages AS m
WHERE m.app_id = :app_id AND m.seq > :above AND m.seq < :below
    AND (:since_ms IS NULL OR m.accepted_at_ms >= :since_ms) AND (:until_ms IS NULL OR m.accepted_at_ms < :until_ms)
    AND (:event_types = '[]' OR m.event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:channels = '[]' OR EXISTS (
        SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels))
    ))
    AND (:alerts OR m.source_id <> 'operational')
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag))
    AND (:states = '[]' AND :endpoint_id IS NULL OR EXISTS (
        SELECT 1 FROM deliveries AS d CROSS JOIN endpoints AS e ON e.seq = d.endpoint_seq
        WHERE d.message_seq = m.seq AND (:endpoint_id IS NULL OR e.id = :endpoint_id)
            AND (:states = '[]' OR d.state IN (SELECT value FROM json_each(:states)))
    ))
    AND (:contains IS NULL OR instr(m.body, :contains) > 0)
    AND (:path = '[]' OR holds(m.body, :path, :value))
ORDER BY m.seq LIMIT :limit
