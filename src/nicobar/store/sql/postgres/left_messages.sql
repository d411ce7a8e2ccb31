-- Which of some messages are there and not emptied.
SELECT seq FROM messages WHERE seq {any_number_of seqs} AND expunged_at_ms IS NULL
