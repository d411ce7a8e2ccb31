-- What the facts of a customer come to.
-- Oldest version that may run on it: 11

-- === Customers with one id in their metadata ===

-- Texts and numbers in the metadata of customers, by which all customers with one id are found. Triggers keep them, whichever
-- version writes facts.
CREATE TABLE metadata_ids (
    app_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, name, value, key)
);
CREATE FUNCTION metadata_ids_in(content text) RETURNS TABLE (name text, value text) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT substr(m.key, 10), i.value
    FROM json_each(CAST(content AS json)) AS l, json_each(l.value) AS m, LATERAL (
        SELECT CASE json_typeof(m.value) WHEN 'number' THEN CAST(trim_scale(CAST(m.value #>> '{}' AS numeric)) AS text)
            ELSE m.value #>> '{}' END AS value
    ) AS i
    WHERE starts_with(m.key, 'metadata.') AND json_typeof(m.value) IN ('string', 'number') AND length(i.value) <= 150;
END
$$;
CREATE FUNCTION keep_metadata_ids() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM metadata_ids AS m USING metadata_ids_in(old.content) AS i
        WHERE m.app_id = old.app_id AND m.name = i.name AND m.value = i.value AND m.key = old.key;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO metadata_ids (app_id, name, value, key)
        SELECT new.app_id, i.name, i.value, new.key FROM metadata_ids_in(new.content) AS i
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER metadata_ids_added AFTER INSERT ON facts FOR EACH ROW
WHEN (strpos(new.key, '/customer/') > 0 AND strpos(new.content, '"metadata.') > 0) EXECUTE FUNCTION keep_metadata_ids();
CREATE TRIGGER metadata_ids_changed AFTER UPDATE ON facts FOR EACH ROW
WHEN (strpos(new.key, '/customer/') > 0 AND strpos(new.content, '"metadata.') > 0
    AND substr(new.content, strpos(new.content, '":{')) <> substr(old.content, strpos(old.content, '":{')))
EXECUTE FUNCTION keep_metadata_ids();
CREATE TRIGGER metadata_ids_removed AFTER DELETE ON facts FOR EACH ROW
WHEN (strpos(old.key, '/customer/') > 0 AND strpos(old.content, '"metadata.') > 0) EXECUTE FUNCTION keep_metadata_ids();
INSERT INTO metadata_ids (app_id, name, value, key)
SELECT f.app_id, i.name, i.value, f.key FROM facts AS f, metadata_ids_in(f.content) AS i WHERE strpos(f.key, '/customer/') > 0;

-- === Erased customers ===

-- digest: a keyed hash of the id of a customer who was erased, or of an object of theirs. What happened up to erased_at_ms is
-- not stored as a fact again.
CREATE TABLE erased (
    app_id text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    erased_at_ms bigint NOT NULL,
    PRIMARY KEY (app_id, digest)
);
-- The key of these hashes. The only row has id 1.
CREATE TABLE erasure_keys (id bigint PRIMARY KEY, content bytea NOT NULL);
INSERT INTO erasure_keys (id, content) VALUES (1, sha256(convert_to(CAST(gen_random_uuid() AS text) || CAST(gen_random_uuid() AS text), 'UTF8')));

-- === What facts say ===

-- What both contents of a fact say: of each field the two newest values that differ, the newest 100 keys of the metadata, and the
-- last four announcements. The same as `merged` in `facts.py`. Values stay as they are written.
CREATE OR REPLACE FUNCTION merge_facts(one text, other text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    -- Where the fields begin. The same was said, most often: the later place is that of all of it.
    of_one integer := strpos(one, '":{');
    of_other integer := strpos(other, '":{');
BEGIN
    IF of_one > 0 AND of_other > 0 AND substr(one, of_one) = substr(other, of_other) THEN
        RETURN greatest(one COLLATE "C", other COLLATE "C");
    END IF;
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
                row_number() OVER (PARTITION BY field ORDER BY place COLLATE "C" DESC, written COLLATE "C" DESC) AS number
            FROM said
        ), newest_metadata AS (
            SELECT field, place FROM numbered WHERE number = 1 AND starts_with(field, 'metadata.')
            ORDER BY place COLLATE "C" DESC, field COLLATE "C" DESC LIMIT 100
        ), last_metadata AS (
            SELECT CASE WHEN count(*) = 100 THEN min(place COLLATE "C") ELSE '' END AS place FROM newest_metadata
        ), last_announced AS (
            SELECT field FROM numbered WHERE number = 1 AND starts_with(field, 'announced.')
            ORDER BY length(field) DESC, field COLLATE "C" DESC LIMIT 4
        ), layers AS (
            SELECT place, json_object_agg(field, CAST(written AS json)) AS fields
            FROM numbered
            WHERE number <= 2 AND CASE
                WHEN starts_with(field, 'metadata.') THEN field IN (SELECT field FROM newest_metadata)
                    AND (number = 1 OR place COLLATE "C" > (SELECT place FROM last_metadata))
                WHEN starts_with(field, 'announced.') THEN number = 1 AND field IN (SELECT field FROM last_announced)
                ELSE TRUE
            END
            GROUP BY place
        )
        SELECT CAST(json_object_agg(place, fields) AS text) FROM layers
    );
END
$$;

-- === Facts of earlier messages ===

-- Since this version facts have the normal form: they are rebuilt from what is stored. A process of version 14 does not know the
-- row with id 2, since it would add nothing.
INSERT INTO fact_rebuilds (id, after_seq, until_seq, messages) SELECT 2, 0, max(seq), 0 FROM messages HAVING max(seq) > 0;

-- === Repeated identifies ===

-- Calls that set a person's attributes, to be repeated: others about the person were sent shortly before, and the
-- destination may process calls in another order. place: digest of the workspace, which several endpoints may have; person:
-- digest of the identifier. endpoint_seq, order_key, message_seq: of the last delivery that sent such a call. content: the
-- call, see `half_sent.py`. turn: grows with each change. sent_at_ms: when it was repeated; such a row is deleted when
-- it is due.
CREATE TABLE repeats (
    place text COLLATE "C" NOT NULL,
    person text COLLATE "C" NOT NULL,
    endpoint_seq bigint NOT NULL,
    message_seq bigint NOT NULL,
    order_key text COLLATE "C",
    due_at_ms bigint NOT NULL,
    sent_at_ms bigint,
    turn bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (place, person)
);
CREATE INDEX repeats_due ON repeats (endpoint_seq, due_at_ms);
CREATE INDEX repeats_in_order ON repeats (order_key) WHERE order_key IS NOT NULL;
CREATE INDEX repeats_of_message ON repeats (message_seq);

-- === Processes of version 14 ===

-- version: number of the newest migration that a worker knows; NULL before 15. What an older one accepts has no facts in the normal
-- form, and what it sends is missing among the repeated calls: when it has left, its messages are read, and nothing is repeated.
ALTER TABLE workers ADD COLUMN version bigint;
CREATE FUNCTION follow_older_worker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Before any row, so that a transaction that changes several rows does not wait for this one while this one waits for it.
    LOCK TABLE repeats IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM repeats;
    -- A message may be committed after later ones.
    INSERT INTO fact_rebuilds (id, after_seq, until_seq, messages) SELECT 2, 0, max(seq), 0 FROM messages HAVING max(seq) > 0
    ON CONFLICT (id) DO UPDATE SET until_seq = excluded.until_seq, ended_at_ms = NULL,
        after_seq = greatest(0, fact_rebuilds.after_seq - 1000)
    WHERE fact_rebuilds.until_seq < excluded.until_seq;
    RETURN NULL;
END
$$;
CREATE TRIGGER older_worker_left AFTER DELETE ON workers FOR EACH ROW
WHEN (old.version IS NULL) EXECUTE FUNCTION follow_older_worker();

-- === Modes and scopes ===

-- mode: live or test. history_complete_since_ms: the source has received all events of the shop, which opened then.
ALTER TABLE sources ADD COLUMN mode text COLLATE "C";
ALTER TABLE sources ADD COLUMN history_complete_since_ms bigint;
-- An endpoint gets messages of one mode, and about these businesses and brands: lists as JSON, empty for all.
ALTER TABLE endpoints ADD COLUMN mode text COLLATE "C";
ALTER TABLE endpoints ADD COLUMN business_ids text COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE endpoints ADD COLUMN brand_ids text COLLATE "C" NOT NULL DEFAULT '[]';
-- The modes of deleted sources: their messages keep them.
CREATE TABLE removed_sources (id text COLLATE "C" PRIMARY KEY, mode text COLLATE "C" NOT NULL);
