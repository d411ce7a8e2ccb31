-- Cancels an endpoint's unfinished deliveries.
UPDATE deliveries SET state = 'canceled', due_at_ms = NULL, lease = lease + 1, reason = :reason
WHERE endpoint_seq = :endpoint_seq AND state IN ('pending', 'sending')
