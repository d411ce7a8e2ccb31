-- What several machines over one database, and deliveries that survive more, need.
-- Oldest version that may run on it: 10

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

-- From here on nobody else writes deliveries until the migration is done: what is counted below is all.
CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_deliveries();
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_deliveries();
CREATE TRIGGER deliveries_changed AFTER UPDATE ON deliveries REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_changed_deliveries();
INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
SELECT endpoint_seq, 0, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'sending')
FROM deliveries WHERE state IN ('pending', 'sending') GROUP BY endpoint_seq;
