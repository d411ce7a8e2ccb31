-- Removes the reasons of some messages' failures, and calls for another attempt, since they may quote the message.
UPDATE deliveries SET reason = :expunged, failure = CASE WHEN state = 'failed' THEN 'expunged' END, half_sent = NULL
WHERE message_seq {any_number_of seqs} AND state IN ('failed', 'canceled')
