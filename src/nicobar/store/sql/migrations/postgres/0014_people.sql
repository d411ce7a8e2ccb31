-- Which person an event is about, and what was sent although something is wrong with it.
-- Oldest version that may run on it: 11

-- === Deliveries with warnings ===

-- warned: the attempt that succeeded had warnings; only meant where the state is success. NULL: not known, of deliveries
-- that a version before has finished.
ALTER TABLE deliveries ADD COLUMN warned boolean;
CREATE INDEX deliveries_warned ON deliveries (endpoint_seq, message_seq) WHERE warned;
-- warned: how many of the attempts that succeeded had warnings.
ALTER TABLE tallies ADD COLUMN warned bigint NOT NULL DEFAULT 0;

-- === Facts ===

-- Since this version messages state facts, of customers too. content: the fields by the place of the event that said them,
-- see `facts.py`. parent_key: the payment of a refund or dispute.
ALTER TABLE facts ADD COLUMN parent_key text COLLATE "C";
ALTER TABLE facts SET (fillfactor = 80);
CREATE INDEX facts_of_payment ON facts (app_id, parent_key) WHERE parent_key IS NOT NULL AND customer_key IS NULL;

-- What both contents of a fact say: of each field the two newest values that differ, and the newest 100 keys of the metadata.
-- The same as `merged` in `facts.py`. Values stay as they are written.
CREATE FUNCTION merge_facts(one text, other text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN (
        WITH said AS (
            SELECT f.key AS field, CAST(f.value AS text) AS written, max(l.key COLLATE "C") AS place
            FROM (
                SELECT key, value FROM json_each(CAST(one AS json))
                UNION ALL
                SELECT key, value FROM json_each(CAST(other AS json))
            ) AS l, json_each(l.value) AS f
            GROUP BY f.key, CAST(f.value AS text)
        ), numbered AS (
            SELECT field, written, place,
                row_number() OVER (PARTITION BY field ORDER BY place COLLATE "C" DESC) AS number
            FROM said
        ), newest_metadata AS (
            SELECT field FROM numbered WHERE number = 1 AND starts_with(field, 'metadata.')
            ORDER BY place COLLATE "C" DESC, field COLLATE "C" DESC LIMIT 100
        ), layers AS (
            SELECT place, json_object_agg(field, CAST(written AS json)) AS fields
            FROM numbered
            WHERE number <= 2
                AND (NOT starts_with(field, 'metadata.') OR field IN (SELECT field FROM newest_metadata))
            GROUP BY place
        )
        SELECT CAST(json_object_agg(place, fields) AS text) FROM layers
    );
END
$$;

-- The sender's id of a fact's customer, as the newest event says that says one.
CREATE FUNCTION customer_of_fact(content text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN (
        SELECT l.value ->> 'customer_id' FROM json_each(CAST(content AS json)) AS l
        WHERE l.value ->> 'customer_id' IS NOT NULL ORDER BY l.key COLLATE "C" DESC LIMIT 1
    );
END
$$;

-- === Deliveries without an identity ===

-- The facts for which canceled deliveries wait that needed to know who their customer is; key is empty for one that waits for
-- none. news: how often a fact was stated since, checked: how often when the delivery was last looked at; late: whether it was
-- looked at when every transaction that was open at its end had ended.
CREATE TABLE unidentified (
    message_seq bigint NOT NULL,
    endpoint_seq bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    app_id text COLLATE "C" NOT NULL,
    since_ms bigint NOT NULL,
    news bigint NOT NULL,
    checked bigint NOT NULL,
    late boolean NOT NULL,
    PRIMARY KEY (message_seq, endpoint_seq, key)
);
CREATE INDEX unidentified_by_key ON unidentified (app_id, key);
CREATE INDEX unidentified_of_endpoint ON unidentified (endpoint_seq, message_seq);
CREATE INDEX unidentified_news ON unidentified (endpoint_seq) WHERE news > checked;
CREATE INDEX unidentified_late ON unidentified (endpoint_seq, since_ms) WHERE NOT late;
