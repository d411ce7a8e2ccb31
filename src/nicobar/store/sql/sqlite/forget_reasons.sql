-- Takes out what a message's failures said, since they may quote it.
UPDATE deliveries SET reason = :expunged, failure = CASE WHEN state = 'failed' THEN 'expunged' END
WHERE message_seq = :seq AND state IN ('failed', 'canceled')
