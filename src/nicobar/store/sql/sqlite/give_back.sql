-- Turns deliveries back into what a replay has found, those that were not tried since.
UPDATE deliveries SET state = json_extract(was, '$.state'), tries = json_extract(was, '$.tries'), lease = lease + 1,
    due_at_ms = NULL, edition = json_extract(was, '$.edition'), replay_key = json_extract(was, '$.replay_key'),
    manual = json_extract(was, '$.manual'), task_seq = json_extract(was, '$.task_seq'),
    reason = json_extract(was, '$.reason'), failure = json_extract(was, '$.failure'),
    ended_at_ms = json_extract(was, '$.ended_at_ms'), was = NULL
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs} AND state = 'pending' AND was <> '{}'
