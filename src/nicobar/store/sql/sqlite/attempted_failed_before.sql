-- A page of the messages whose delivery for an endpoint has failed, newest first.
SELECT m.seq, m.id, m.app_id, m.source_id, m.event_id, m.event_type, m.customer_key, m.occurred_at_ms, m.accepted_at_ms,
    CASE WHEN :with_body THEN m.body ELSE x'' END, m.channels, m.tags, m.params, m.deliver_at_ms, m.expunged_at_ms,
    e.id, d.state, d.tries, d.due_at_ms, d.reason, d.ended_at_ms, NULL, NULL, d.edition, d.replay_key
FROM endpoints AS e CROSS JOIN deliveries AS d ON d.endpoint_seq = e.seq AND d.state = 'failed'
    CROSS JOIN messages AS m ON m.seq = d.message_seq
WHERE e.id = :endpoint_id AND d.message_seq > :above AND d.message_seq < :below
    AND (:since_ms IS NULL OR m.accepted_at_ms >= :since_ms) AND (:until_ms IS NULL OR m.accepted_at_ms < :until_ms)
    AND (:event_types = '[]' OR m.event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:channels = '[]' OR EXISTS (
        SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels))
    ))
    AND (:alerts OR m.source_id <> 'operational')
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag))
ORDER BY d.message_seq DESC LIMIT :limit
