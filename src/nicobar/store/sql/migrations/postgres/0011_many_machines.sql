-- What several machines over one database, and deliveries that survive more, need.
-- Oldest version that may run on it: 10

-- In the order in which events take them, so that no two wait for each other.
LOCK TABLE messages, deliveries IN ACCESS EXCLUSIVE MODE;

-- === Messages ===

-- Which message came first under an event id. Apart from messages, so that those may be partitioned, which an index over
-- all of them rules out; kept as long as the message or longer. Version 10 does not know it and needs its own unique index
-- of messages: a message that it stored gets its row with its first duplicate. The rest and the end of that index are for
-- a later migration. SQLite has no partitions, and needs the index only.
CREATE TABLE event_ids (
    app_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, event_id)
);

-- Other bodies that a source sent under an event id that it had used: nothing is sent for them.
CREATE TABLE message_revisions (
    message_seq bigint NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    accepted_at_ms bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (message_seq, sha256)
);

-- === Deliveries ===

-- customer_key is the key of its order: fixed when the delivery is made, whatever its message or endpoint say later.
-- accepted_ids: the event ids that the destination has accepted, a JSON array.
ALTER TABLE deliveries ADD COLUMN accepted_ids text;
-- half_sent: of an attempt that ended without success after a request had left: its calls, the version of the
-- transformation and the customer, which the next attempt repeats.
ALTER TABLE deliveries ADD COLUMN half_sent bytea;

-- Event ids that were made of a natural key, and accepted: by which workspace of the destination, of which message.
-- Kept for longer than messages.
CREATE TABLE sent_keys (
    workspace text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    sent_at_ms bigint NOT NULL,
    PRIMARY KEY (workspace, event_id)
);
CREATE INDEX sent_keys_by_age ON sent_keys (sent_at_ms);

-- === Facts ===

-- The latest that messages have stated about payments, refunds, disputes and subscriptions. key: the source's kind, the
-- mode, what it is and its id, joined by slashes. content: the fact in the form that all sources share, and what decides
-- whether another one is newer, as JSON.
CREATE TABLE facts (
    app_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    customer_key text COLLATE "C",
    occurred_at_ms bigint NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (app_id, key)
);
CREATE INDEX facts_of_customer ON facts (app_id, customer_key, key) WHERE customer_key IS NOT NULL;

-- === Workers ===

-- beat: rises while the worker runs; a worker whose beat stands still is removed by another one.
CREATE TABLE workers (id text COLLATE "C" PRIMARY KEY, beat bigint NOT NULL) WITH (fillfactor = 50);

-- holder: a worker, '' where no worker has the lease; a holder that is no longer a worker does not hold it.
-- term: rises with each change of the holder.
CREATE TABLE leases (name text COLLATE "C" PRIMARY KEY, holder text COLLATE "C" NOT NULL, term bigint NOT NULL);

-- === Customers of messages ===

-- The customer's email address and name, read from the body when it was accepted, so that it is not read again for each
-- delivery. Empty text: the event has none. NULL: to be read from the body, which an earlier version has stored or which
-- has what the database cannot store; also of an expunged message.
ALTER TABLE messages ADD COLUMN customer_email text;
ALTER TABLE messages ADD COLUMN customer_name text;

-- === Counters of the queue ===

-- How many deliveries of an endpoint are pending and how many are being sent: the sums over its slots, of which a single
-- one may be negative. Triggers keep them, since versions of before write to this database too, and a count that is
-- forgotten once is wrong for good. A transaction counts in a slot that no other is writing to, so that none waits for
-- another because of a count.
CREATE TABLE queue_counts (
    endpoint_seq bigint NOT NULL,
    slot bigint NOT NULL,
    pending bigint NOT NULL,
    sending bigint NOT NULL,
    PRIMARY KEY (endpoint_seq, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- The oldest message of an endpoint that is not finished, and pages of those.
CREATE INDEX deliveries_unfinished_in_order ON deliveries (endpoint_seq, message_seq)
    WHERE state IN ('pending', 'sending');

-- The slot that a transaction counts in: one that is free until it ends, or its own where all 16 are taken.
CREATE FUNCTION queue_slot() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    own integer := pg_backend_pid() % 16;
BEGIN
    FOR number IN 0..15 LOOP
        IF pg_try_advisory_xact_lock(1851941236, (own + number) % 16) THEN
            RETURN (own + number) % 16;
        END IF;
    END LOOP;
    RETURN own;
END
$$;

-- Adds what a statement has changed, by endpoint: one entry for each row that it wrote, and for each that it replaced.
CREATE FUNCTION add_to_queue_counts(endpoint_seqs bigint[], pending bigint[], sending bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF endpoint_seqs IS NOT NULL THEN
        INSERT INTO queue_counts AS c (endpoint_seq, slot, pending, sending)
        SELECT g.endpoint_seq, s.slot, g.pending, g.sending
        FROM unnest(endpoint_seqs, add_to_queue_counts.pending, add_to_queue_counts.sending)
            AS g (endpoint_seq, pending, sending), (SELECT queue_slot() OFFSET 0) AS s (slot)
        ORDER BY g.endpoint_seq
        ON CONFLICT (endpoint_seq, slot) DO UPDATE SET pending = c.pending + excluded.pending,
            sending = c.sending + excluded.sending;
    END IF;
END
$$;

CREATE FUNCTION count_added_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_queue_counts(array_agg(g.endpoint_seq), array_agg(g.pending), array_agg(g.sending))
    FROM (
        SELECT endpoint_seq, count(*) FILTER (WHERE state = 'pending') AS pending,
            count(*) FILTER (WHERE state = 'sending') AS sending
        FROM added WHERE state IN ('pending', 'sending') GROUP BY endpoint_seq
    ) AS g;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_removed_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_queue_counts(array_agg(g.endpoint_seq), array_agg(g.pending), array_agg(g.sending))
    FROM (
        SELECT endpoint_seq, -count(*) FILTER (WHERE state = 'pending') AS pending,
            -count(*) FILTER (WHERE state = 'sending') AS sending
        FROM removed WHERE state IN ('pending', 'sending') GROUP BY endpoint_seq
    ) AS g;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_changed_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_to_queue_counts(array_agg(g.endpoint_seq), array_agg(g.pending), array_agg(g.sending))
    FROM (
        SELECT endpoint_seq, CAST(sum(pending) AS bigint) AS pending, CAST(sum(sending) AS bigint) AS sending
        FROM (
            SELECT endpoint_seq, CAST(state = 'pending' AS integer) AS pending, CAST(state = 'sending' AS integer) AS sending
            FROM added WHERE state IN ('pending', 'sending')
            UNION ALL
            SELECT endpoint_seq, -CAST(state = 'pending' AS integer), -CAST(state = 'sending' AS integer)
            FROM removed WHERE state IN ('pending', 'sending')
        ) AS both_sides
        GROUP BY endpoint_seq HAVING sum(pending) <> 0 OR sum(sending) <> 0
    ) AS g;
    RETURN NULL;
END
$$;

-- From here on no other transaction writes deliveries until the migration is done: what is counted below is all.
CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_deliveries();
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_deliveries();
CREATE TRIGGER deliveries_changed AFTER UPDATE ON deliveries REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_changed_deliveries();
INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
SELECT endpoint_seq, 0, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'sending')
FROM deliveries WHERE state IN ('pending', 'sending') GROUP BY endpoint_seq;

-- === A move to another database ===

-- state: filling (a copy of another database, not whole yet), draining (no new events), closed (nothing is written) or
-- moved. place: the other database, without a password. installation_id: whose data it is. There is at most one row.
CREATE TABLE moves (
    id bigint PRIMARY KEY CHECK (id = 1),
    state text COLLATE "C" NOT NULL,
    place text COLLATE "C" NOT NULL,
    installation_id text COLLATE "C" NOT NULL,
    changed_at_ms bigint NOT NULL
);

-- === Vacuum and statistics ===

-- A queue that grows or drains changes within minutes what a plan should be.
ALTER TABLE deliveries SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 5000);
-- Rows are added, and removed when they are old: about a hundredth of the table a day, whose space new ones need. Where vacuum
-- knows that all rows of a page are visible, lists read an index only, and freezing is done in small parts.
ALTER TABLE messages SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE attempts SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE event_ids SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
