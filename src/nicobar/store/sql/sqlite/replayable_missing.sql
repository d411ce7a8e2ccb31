-- Messages of an application that have no delivery for an endpoint and fit a filter. Another endpoint, such as one that
-- was removed, may have sent them under ids of the earlier scheme.
SELECT m.seq, m.customer_key,
    EXISTS (
        SELECT 1 FROM deliveries AS e WHERE e.message_seq = m.seq AND e.replay_key IS NULL AND e.state <> 'canceled'
    )
FROM messages AS m
WHERE m.app_id = :app_id AND m.seq > :after_seq AND m.seq <= :until_seq AND m.expunged_at_ms IS NULL AND m.source_id <> 'operational'
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_seq = m.seq AND endpoint_seq = :endpoint_seq)
    AND (:since_ms IS NULL OR m.accepted_at_ms >= :since_ms) AND (:until_ms IS NULL OR m.accepted_at_ms < :until_ms)
    AND (:event_types = '[]' OR m.event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:channels = '[]' OR EXISTS (
        SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels))
    ))
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag))
ORDER BY m.seq LIMIT :limit
