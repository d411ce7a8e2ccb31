-- Empties some messages, also of what a version left that does not know all columns.
UPDATE messages SET body = {no_bytes}, params = NULL, tags = '[]', customer_email = NULL, customer_name = NULL,
    expunged_at_ms = coalesce(expunged_at_ms, :now_ms)
WHERE seq {any_number_of seqs}
    AND (expunged_at_ms IS NULL OR customer_email IS NOT NULL OR customer_name IS NOT NULL)
