-- A page of an application's messages that have a delivery for an endpoint, newest first.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms, m.accepted_at_ms,
    CASE WHEN :with_body THEN m.body ELSE x'' END, m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms,
    e.id, d.state, d.tries, d.due_at_ms, d.reason, d.ended_at_ms, NULL, NULL, d.edition, d.replay_key
FROM endpoints AS e CROSS JOIN messages AS m ON m.app_id = e.app_id
    CROSS JOIN deliveries AS d ON d.message_seq = m.seq AND d.endpoint_seq = e.seq
WHERE e.id = :endpoint_id AND m.seq > :above AND m.seq < :below
    AND (:states = '[]' OR d.state IN (SELECT value FROM json_each(:states)))
    AND (:since_ms IS NULL OR m.accepted_at_ms >= :since_ms) AND (:until_ms IS NULL OR m.accepted_at_ms < :until_ms)
    AND (:event_types = '[]' OR m.event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:channels = '[]' OR EXISTS (
        SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels))
    ))
    AND (:alerts OR m.source_id <> 'operational')
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag))
ORDER BY m.seq DESC LIMIT :limit
