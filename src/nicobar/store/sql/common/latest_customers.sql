-- Customers by their latest messages among some numbers, newest first; the index says whether a later one exists.
SELECT m.seq, m.customer_key, m.id, m.event_type, m.accepted_at_ms FROM messages AS m
WHERE m.app_id = :app_id AND m.customer_key IS NOT NULL AND m.seq < :before_seq AND m.seq >= :floor_seq
    AND NOT EXISTS (
        SELECT 1 FROM messages AS later
        WHERE later.app_id = :app_id AND later.customer_key = m.customer_key AND later.seq > m.seq
    )
ORDER BY m.seq DESC LIMIT :limit
