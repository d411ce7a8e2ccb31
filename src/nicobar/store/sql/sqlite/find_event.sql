-- The message that came first under an event id; without source and body where the message is gone.
SELECT e.message_id, m.source_id, m.body FROM event_ids AS e LEFT JOIN messages AS m ON m.id = e.message_id
WHERE e.app_id = :app_id AND e.event_id = :event_id
