-- One message, the first at or after a place.
SELECT seq, id, app_id, event_id FROM messages WHERE seq >= :seq ORDER BY seq LIMIT 1
