-- Which of some messages have their payload; no other transaction deletes or empties them until this one ends.
SELECT seq FROM messages WHERE seq {any_number_of seqs} AND expunged_at_ms IS NULL ORDER BY seq {for_key_share}
