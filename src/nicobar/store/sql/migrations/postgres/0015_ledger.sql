-- What the facts of a customer come to.
-- Oldest version that may run on it: 11

-- === Repeated identifies ===

-- Calls that set a person's attributes, to be sent once more: others about the person were sent shortly before, and the
-- destination may process calls in another order. person: digest of the identifier. order_key: of the deliveries that sent
-- it; message_seq: the last of them. content: the call, see `half_sent.py`. turn: grows with each change. sent_at_ms: when
-- it was sent once more; such a row is deleted when it is due.
CREATE TABLE repeats (
    endpoint_seq bigint NOT NULL,
    person text NOT NULL,
    message_seq bigint NOT NULL,
    order_key text,
    due_at_ms bigint NOT NULL,
    sent_at_ms bigint,
    turn bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (endpoint_seq, person)
);
CREATE INDEX repeats_due ON repeats (endpoint_seq, due_at_ms);
CREATE INDEX repeats_in_order ON repeats (endpoint_seq, order_key) WHERE order_key IS NOT NULL;
CREATE INDEX repeats_of_message ON repeats (message_seq);
