-- All event types that were added.
SELECT content FROM event_types ORDER BY name
