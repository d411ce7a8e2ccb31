-- One message.
SELECT {message} FROM messages AS m WHERE m.seq = :seq
