-- Empties some messages.
UPDATE messages SET body = {no_bytes}, params = NULL, tags = '[]', customer_email = NULL, customer_name = NULL,
    expunged_at_ms = :now_ms
WHERE seq {any_number_of seqs} AND expunged_at_ms IS NULL
