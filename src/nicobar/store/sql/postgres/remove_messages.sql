-- Deletes some messages, and their event ids.
WITH forgotten AS (
    DELETE FROM event_ids AS e USING messages AS m
    WHERE m.seq {any_number_of seqs} AND e.app_id = m.app_id AND e.event_id = m.event_id
)
DELETE FROM messages WHERE seq {any_number_of seqs}
