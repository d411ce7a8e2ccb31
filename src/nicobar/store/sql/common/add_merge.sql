-- Adds a merge of people, unless one of the endpoint is running.
INSERT INTO merges (id, app_id, endpoint_seq, endpoint_id, rule, status, created_at_ms, updated_at_ms)
VALUES (:id, :app_id, :endpoint_seq, :endpoint_id, :rule, 'running', :created_at_ms, :created_at_ms)
ON CONFLICT DO NOTHING
