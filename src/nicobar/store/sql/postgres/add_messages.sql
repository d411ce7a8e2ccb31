-- Stores the messages of a group, each under its event id, unless its application had a message with that event id; numbered
-- in the order in which they came, stored in the order of their event ids, so that two groups never wait for each other. A
-- message that a process of version 10 has stored has no row in event_ids.
WITH numbered AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('messages', 'seq')) AS seq, g.*
    FROM unnest(CAST(:ids AS text[]), CAST(:app_ids AS text[]), CAST(:source_ids AS text[]), CAST(:event_ids AS text[]),
        CAST(:event_types AS text[]), CAST(:customer_keys AS text[]), CAST(:occurred_at_ms AS bigint[]),
        CAST(:accepted_at_ms AS bigint[]), CAST(:bodies AS bytea[]), CAST(:channels AS text[]), CAST(:tags AS text[]),
        CAST(:params AS text[]), CAST(:deliver_at_ms AS bigint[]),
        CAST(:customer_emails AS text[]), CAST(:customer_names AS text[]))
    AS g (id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms, body, channels, tags,
        params, deliver_at_ms, customer_email, customer_name)
), first_ones AS (
    INSERT INTO event_ids (app_id, event_id, message_id)
    SELECT app_id, event_id, id FROM numbered ORDER BY app_id COLLATE "C", event_id COLLATE "C", seq
    ON CONFLICT (app_id, event_id) DO NOTHING
    RETURNING message_id
)
INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms, body,
    channels, tags, params, deliver_at_ms, customer_email, customer_name)
SELECT n.seq, n.id, n.app_id, n.source_id, n.event_id, n.event_type, n.customer_key, n.occurred_at_ms, n.accepted_at_ms,
    n.body, n.channels, n.tags, n.params, n.deliver_at_ms, n.customer_email, n.customer_name
FROM numbered AS n JOIN first_ones AS f ON f.message_id = n.id
ORDER BY n.app_id COLLATE "C", n.event_id COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING id, seq, EXISTS (SELECT 1 FROM erased AS e WHERE e.app_id = messages.app_id)
