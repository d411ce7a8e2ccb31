-- What there is of the deliveries of a message, to find out whether it can be read.
SELECT * FROM deliveries WHERE message_seq = :message_seq LIMIT 10
