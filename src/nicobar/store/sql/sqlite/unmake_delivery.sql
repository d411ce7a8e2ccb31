-- Takes out a delivery that a replay has made, if it was not tried since.
DELETE FROM deliveries
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq AND state = 'pending' AND was = '{}'
