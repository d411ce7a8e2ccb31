-- Makes a delivery again what a replay has found, if it was not tried since.
UPDATE deliveries SET state = json_extract(was, '$.state'), tries = json_extract(was, '$.tries'), lease = lease + 1,
    due_at_ms = NULL, edition = json_extract(was, '$.edition'), replay_key = json_extract(was, '$.replay_key'),
    manual = json_extract(was, '$.manual'), task_seq = json_extract(was, '$.task_seq'), reason = json_extract(was, '$.reason'),
    failure = json_extract(was, '$.failure'), ended_at_ms = json_extract(was, '$.ended_at_ms'), was = NULL
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq AND state = 'pending' AND was <> '{}'
