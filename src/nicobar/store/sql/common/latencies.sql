-- How long after its acceptance, or after its scheduled time, each of an application's latest deliveries succeeded.
-- Resent and replayed ones do not count.
SELECT {greatest}(0, d.ended_at_ms - {greatest}(m.accepted_at_ms, coalesce(m.deliver_at_ms, 0)))
FROM messages AS m {then_join} deliveries AS d ON d.message_seq = m.seq {then_join} endpoints AS e ON e.seq = d.endpoint_seq
WHERE m.app_id = :app_id AND m.seq > :above AND m.seq < :below AND m.accepted_at_ms >= :since_ms
    AND (CAST(:endpoint_id AS TEXT) IS NULL OR e.id = :endpoint_id)
    AND m.source_id <> 'operational' AND d.state = 'success' AND NOT d.manual AND d.ended_at_ms IS NOT NULL
ORDER BY m.seq DESC LIMIT :limit
