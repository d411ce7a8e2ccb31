-- What the reading side asks for.

-- An index ends with the row's own key, so these are in the order of acceptance.
CREATE INDEX messages_of_application ON messages (app_id);
CREATE INDEX audit_of_application ON audit (app_id);
CREATE INDEX audit_of_subject ON audit (subject);
-- The failed ones of an endpoint in the order of acceptance; written only when something fails.
CREATE INDEX deliveries_failed_in_order ON deliveries (endpoint_seq, message_seq) WHERE state = 'failed';

-- Tries by endpoint, five minutes, event type and state: their number, the sum of their durations, the sum and the
-- largest of the times since acceptance.
CREATE TABLE tallies (
    endpoint_seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    latency_ms INTEGER NOT NULL,
    latency_max_ms INTEGER NOT NULL,
    PRIMARY KEY (endpoint_seq, at_ms, event_type, state)
) WITHOUT ROWID;
