-- The messages of some deliveries of an endpoint that ended without an identity.
SELECT {message} FROM deliveries AS d {then_join} messages AS m ON m.seq = d.message_seq
WHERE d.endpoint_seq = :endpoint_seq AND d.message_seq {any_number_of message_seqs} AND {without_identity}
