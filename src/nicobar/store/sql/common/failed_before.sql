-- The first of some messages whose delivery to an endpoint had failed for good.
SELECT m.id FROM attempts AS a JOIN messages AS m ON m.seq = a.message_seq
WHERE a.endpoint_seq = :endpoint_seq AND a.message_seq {any_number_of message_seqs} AND a.state = 'failed'
ORDER BY a.message_seq LIMIT 1
