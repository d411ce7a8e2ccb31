-- The customers of some messages, as far as they are stored beside the body.
SELECT seq, customer_key, customer_email FROM messages WHERE seq {any_number_of seqs} ORDER BY seq
