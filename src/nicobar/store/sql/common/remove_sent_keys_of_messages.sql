-- Deletes the ids made of natural keys that some messages have sent.
DELETE FROM sent_keys WHERE message_id IN (SELECT id FROM messages WHERE seq {any_number_of seqs})
