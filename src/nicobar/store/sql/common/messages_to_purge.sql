-- Messages of an application that still have a payload, behind one place up to another, in the order of acceptance.
SELECT seq FROM messages
WHERE seq > :after_seq AND seq <= :until_seq AND app_id = :app_id AND expunged_at_ms IS NULL AND source_id <> 'operational'
ORDER BY seq LIMIT :limit
