-- Some messages with their payloads.
SELECT {message} FROM messages AS m WHERE m.seq {any_number_of seqs} AND m.expunged_at_ms IS NULL ORDER BY m.seq
