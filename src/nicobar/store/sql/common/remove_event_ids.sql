-- Deletes the event ids of some messages.
DELETE FROM event_ids WHERE (app_id, event_id) IN (SELECT app_id, event_id FROM messages WHERE seq {any_number_of seqs})
