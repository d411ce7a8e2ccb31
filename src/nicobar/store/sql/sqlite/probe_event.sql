-- Where the index of event ids leads.
SELECT seq FROM messages WHERE app_id = :app_id AND event_id = :event_id
