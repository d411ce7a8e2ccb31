-- One of an application's messages, by its id or else by its event id.
SELECT {message}
FROM messages AS m
WHERE (:alerts OR m.source_id <> 'operational') AND m.app_id = :app_id AND m.seq = coalesce(
    (SELECT seq FROM messages WHERE id = :id), (SELECT seq FROM messages WHERE app_id = :app_id AND event_id = :id)
)
