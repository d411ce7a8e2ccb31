-- Turns deliveries back into what a replay has found, those that were not tried since.
UPDATE deliveries SET state = CAST(was AS json) ->> 'state', tries = CAST(CAST(was AS json) ->> 'tries' AS bigint),
    lease = lease + 1, due_at_ms = NULL, edition = CAST(CAST(was AS json) ->> 'edition' AS bigint),
    replay_key = CAST(was AS json) ->> 'replay_key', manual = CAST(CAST(was AS json) ->> 'manual' AS boolean),
    task_seq = CAST(CAST(was AS json) ->> 'task_seq' AS bigint), reason = CAST(was AS json) ->> 'reason',
    failure = CAST(was AS json) ->> 'failure', ended_at_ms = CAST(CAST(was AS json) ->> 'ended_at_ms' AS bigint), was = NULL
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs} AND state = 'pending' AND was <> '{}'
