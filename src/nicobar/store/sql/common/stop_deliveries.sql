-- Cancels the deliveries of some messages that are not finished, leased ones included.
UPDATE deliveries SET state = 'canceled', due_at_ms = NULL, lease = lease + 1, reason = :reason, ended_at_ms = :now_ms,
    was = NULL
WHERE message_seq {any_number_of seqs} AND state IN ('pending', 'sending')
