-- Cancels some deliveries of an endpoint that wait.
UPDATE deliveries SET state = 'canceled', due_at_ms = NULL, lease = lease + 1, reason = :reason, ended_at_ms = :now_ms,
    was = NULL
WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs} AND state = 'pending'
