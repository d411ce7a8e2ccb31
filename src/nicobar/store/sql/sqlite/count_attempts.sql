-- How many of an endpoint's tries fit a filter, of those between two places.
SELECT count(*)
FROM endpoints AS e CROSS JOIN attempts AS a ON a.endpoint_seq = e.seq CROSS JOIN messages AS m ON m.seq = a.message_seq
WHERE e.id = :endpoint_id AND a.id > :above AND a.id < :below
    AND (:since_ms IS NULL OR a.started_at_ms >= :since_ms) AND (:until_ms IS NULL OR a.started_at_ms < :until_ms)
    AND (:states = '[]' OR a.state IN (SELECT value FROM json_each(:states)))
    AND (:status_class IS NULL OR coalesce(a.status, 0) / 100 = :status_class)
    AND (:event_types = '[]' OR m.event_type IN (SELECT value FROM json_each(:event_types)))
    AND (:channels = '[]' OR EXISTS (
        SELECT 1 FROM json_each(m.channels) WHERE value IN (SELECT value FROM json_each(:channels))
    ))
    AND (:alerts OR m.source_id <> 'operational')
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = :tag))
