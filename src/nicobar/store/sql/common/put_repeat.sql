-- Keeps a call to be repeated, by the endpoint that sent the last one.
INSERT INTO repeats (place, person, endpoint_seq, message_seq, order_key, due_at_ms, sent_at_ms, turn, content)
VALUES (:place, :person, :endpoint_seq, :message_seq, :order_key, :due_at_ms, NULL, 1, :content)
ON CONFLICT (place, person) DO UPDATE SET endpoint_seq = excluded.endpoint_seq, message_seq = excluded.message_seq,
    order_key = excluded.order_key, due_at_ms = excluded.due_at_ms, sent_at_ms = NULL, turn = repeats.turn + 1,
    content = excluded.content
