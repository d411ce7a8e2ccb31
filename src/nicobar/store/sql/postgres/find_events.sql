-- The messages that came first under some event ids; without source and body where the message is gone.
SELECT e.app_id, e.event_id, e.message_id, m.source_id, m.body
FROM unnest(CAST(:app_ids AS text[]), CAST(:event_ids AS text[])) AS g (app_id, event_id)
    JOIN event_ids AS e ON e.app_id = g.app_id AND e.event_id = g.event_id
    LEFT JOIN messages AS m ON m.id = e.message_id
