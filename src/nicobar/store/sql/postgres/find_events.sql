-- The messages that hold some event ids.
SELECT m.app_id, m.event_id, m.id, m.source_id, m.body
FROM unnest(CAST(:app_ids AS text[]), CAST(:event_ids AS text[])) AS g (app_id, event_id)
    JOIN messages AS m ON m.app_id = g.app_id AND m.event_id = g.event_id
