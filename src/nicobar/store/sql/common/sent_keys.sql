-- Which ids, made of natural keys, some workspaces of a destination have accepted; the first one last.
SELECT workspace, event_id, message_id, endpoint_id, sent_at_ms FROM sent_keys
WHERE workspace {any_of workspaces} AND event_id {any_of event_ids} ORDER BY sent_at_ms DESC
