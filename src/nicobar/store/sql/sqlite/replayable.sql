-- Finished deliveries of an endpoint that fit a filter, by message; those that the task has moved already are left out.
-- Where nothing was sent by this delivery, another endpoint may have sent the message under ids of the earlier scheme.
SELECT d.message_seq, m.customer_key,
    EXISTS (
        SELECT 1 FROM deliveries AS e WHERE e.message_seq = m.seq AND e.replay_key IS NULL AND e.state <> 'canceled'
            AND (e.endpoint_seq = d.endpoint_seq OR d.state = 'canceled')
    )
FROM deliveries AS d JOIN messages AS m ON m.seq = d.message_seq
WHERE d.endpoint_seq = :endpoint_seq AND d.message_seq > :after_seq AND d.message_seq <= :until_seq
    AND d.state IN (SELECT value FROM json_each(:states)) AND d.state IN ('success', 'failed', 'canceled')
    AND d.task_seq IS NOT :task_seq AND m.expunged_at_ms IS NULL AND m.source_id <> 'operational'
    AND (:since_ms IS NULL OR m.accepted_at_ms >= :since_ms) AND (:until_ms IS NULL OR m.accepted_at_ms < :until_ms)
    AND (:event_types = '[]' OR m.event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:failure IS NULL OR d.failure = :failure)
    AND (:channels = '[]' OR EXISTS (
        SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels))
    ))
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag))
ORDER BY d.message_seq LIMIT :limit
