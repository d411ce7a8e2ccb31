-- What there is of the attempts at a message, to find out whether it can be read.
SELECT * FROM attempts WHERE message_seq = :message_seq LIMIT 10
