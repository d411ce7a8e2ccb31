-- Replaces the event id of a message.
WITH known AS (
    UPDATE event_ids AS e SET event_id = :event_id FROM messages AS m
    WHERE m.seq = :seq AND e.app_id = m.app_id AND e.event_id = m.event_id
)
UPDATE messages SET event_id = :event_id WHERE seq = :seq
