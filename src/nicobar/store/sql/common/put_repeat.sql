-- Keeps a call to be sent once more. What it was joined from may be deleted or sent meanwhile: then it is kept alone.
INSERT INTO repeats (endpoint_seq, person, message_seq, order_key, due_at_ms, sent_at_ms, turn, content)
VALUES (:endpoint_seq, :person, :message_seq, :order_key, :due_at_ms, NULL, 1, :alone)
ON CONFLICT (endpoint_seq, person) DO UPDATE SET message_seq = excluded.message_seq, order_key = excluded.order_key,
    due_at_ms = excluded.due_at_ms, sent_at_ms = NULL, turn = repeats.turn + 1,
    content = CASE WHEN repeats.turn = :turn THEN :joined ELSE excluded.content END
