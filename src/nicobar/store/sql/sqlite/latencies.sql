-- How long after its acceptance, or after the time that somebody wanted, each of an application's latest deliveries was
-- made. One that somebody asked for again says nothing of that.
SELECT max(0, d.ended_at_ms - max(m.accepted_at_ms, coalesce(m.deliver_at_ms, 0)))
FROM messages AS m CROSS JOIN deliveries AS d ON d.message_seq = m.seq CROSS JOIN endpoints AS e ON e.seq = d.endpoint_seq
WHERE m.app_id = :app_id AND m.seq > :above AND m.seq < :below AND m.accepted_at_ms >= :since_ms
    AND (:endpoint_id IS NULL OR e.id = :endpoint_id)
    AND m.source_id <> 'operational' AND d.state = 'success' AND d.manual = 0 AND d.ended_at_ms IS NOT NULL
ORDER BY m.seq DESC LIMIT :limit
