-- The next messages that have a payload, without operational ones.
SELECT {message} FROM messages AS m
WHERE m.seq > :after_seq AND m.seq <= :until_seq AND m.expunged_at_ms IS NULL AND m.source_id <> 'operational'
ORDER BY m.seq LIMIT :limit
