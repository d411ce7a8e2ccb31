-- What the facts of a customer come to.
-- Oldest version that may run on it: 11

-- === Customers with one id in their metadata ===

-- Texts and numbers in the metadata of customers, by which all customers with one id are found. The triggers of `facts` keep
-- them, whichever version writes facts. They are not triggers of their own: each one costs time with every fact, and so does
-- DISTINCT, for which SQLite opens a table. The values of a fact may be alike: 1 and "1".
CREATE TABLE metadata_ids (
    app_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (app_id, name, value, key)
) WITHOUT ROWID;
CREATE INDEX metadata_ids_of_fact ON metadata_ids (app_id, key);
DROP TRIGGER facts_added;
CREATE TRIGGER facts_added AFTER INSERT ON facts BEGIN
    UPDATE unidentified SET news = news + 1 WHERE app_id = new.app_id AND key = new.key;
    INSERT INTO metadata_ids (app_id, name, value, key)
    SELECT new.app_id, substr(m.key, 10),
        CAST(CASE m.type WHEN 'real' THEN printf('%.15g', m.value) ELSE m.value END AS TEXT), new.key
    FROM json_each(new.content) AS l, json_each(l.value) AS m
    WHERE instr(new.key, '/customer/') AND m.key LIKE 'metadata.%' AND m.type IN ('text', 'integer', 'real')
        AND length(m.value) <= 150
    ON CONFLICT DO NOTHING;
END;
DROP TRIGGER facts_changed;
CREATE TRIGGER facts_changed AFTER UPDATE ON facts
WHEN substr(new.content, instr(new.content, '":{')) <> substr(old.content, instr(old.content, '":{')) BEGIN
    UPDATE unidentified SET news = news + 1 WHERE app_id = new.app_id AND key = new.key;
    DELETE FROM metadata_ids WHERE app_id = old.app_id AND key = old.key;
    INSERT INTO metadata_ids (app_id, name, value, key)
    SELECT new.app_id, substr(m.key, 10),
        CAST(CASE m.type WHEN 'real' THEN printf('%.15g', m.value) ELSE m.value END AS TEXT), new.key
    FROM json_each(new.content) AS l, json_each(l.value) AS m
    WHERE instr(new.key, '/customer/') AND m.key LIKE 'metadata.%' AND m.type IN ('text', 'integer', 'real')
        AND length(m.value) <= 150
    ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER facts_removed AFTER DELETE ON facts BEGIN
    DELETE FROM metadata_ids WHERE app_id = old.app_id AND key = old.key;
END;
INSERT INTO metadata_ids (app_id, name, value, key)
SELECT DISTINCT f.app_id, substr(m.key, 10),
    CAST(CASE m.type WHEN 'real' THEN printf('%.15g', m.value) ELSE m.value END AS TEXT), f.key
FROM facts AS f, json_each(f.content) AS l, json_each(l.value) AS m
WHERE instr(f.key, '/customer/') AND m.key LIKE 'metadata.%' AND m.type IN ('text', 'integer', 'real')
    AND length(m.value) <= 150;

-- === Erased customers ===

-- digest: a keyed hash of the id of a customer who was erased, or of an object of theirs. What happened up to erased_at_ms is
-- not stored as a fact again.
CREATE TABLE erased (
    app_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    erased_at_ms INTEGER NOT NULL,
    PRIMARY KEY (app_id, digest)
) WITHOUT ROWID;
-- The key of these hashes. The only row has id 1.
CREATE TABLE erasure_keys (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
INSERT INTO erasure_keys (id, content) VALUES (1, randomblob(32));

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
    place TEXT NOT NULL,
    person TEXT NOT NULL,
    endpoint_seq INTEGER NOT NULL,
    message_seq INTEGER NOT NULL,
    order_key TEXT,
    due_at_ms INTEGER NOT NULL,
    sent_at_ms INTEGER,
    turn INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (place, person)
) WITHOUT ROWID;
CREATE INDEX repeats_due ON repeats (endpoint_seq, due_at_ms);
CREATE INDEX repeats_in_order ON repeats (order_key) WHERE order_key IS NOT NULL;
CREATE INDEX repeats_of_message ON repeats (message_seq);

-- === Processes of version 14 ===

-- version: number of the newest migration that a worker knows; NULL before 15. What an older one accepts has no facts in the normal
-- form, and what it sends is missing among the repeated calls: when it has left, its messages are read, and nothing is repeated.
ALTER TABLE workers ADD COLUMN version INTEGER;
CREATE TRIGGER older_worker_left AFTER DELETE ON workers WHEN old.version IS NULL BEGIN
    DELETE FROM repeats;
    INSERT INTO fact_rebuilds (id, after_seq, until_seq, messages) SELECT 2, 0, max(seq), 0 FROM messages HAVING max(seq) > 0
    ON CONFLICT (id) DO UPDATE SET until_seq = excluded.until_seq, ended_at_ms = NULL
    WHERE fact_rebuilds.until_seq < excluded.until_seq;
END;

-- === Modes and scopes ===

-- mode: live or test. history_complete_since_ms: the source has received all events of the shop, which opened then.
ALTER TABLE sources ADD COLUMN mode TEXT;
ALTER TABLE sources ADD COLUMN history_complete_since_ms INTEGER;
-- An endpoint gets messages of one mode, and about these businesses and brands: lists as JSON, empty for all.
ALTER TABLE endpoints ADD COLUMN mode TEXT;
ALTER TABLE endpoints ADD COLUMN business_ids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE endpoints ADD COLUMN brand_ids TEXT NOT NULL DEFAULT '[]';
-- The modes of deleted sources: their messages keep them.
CREATE TABLE removed_sources (id TEXT PRIMARY KEY, mode TEXT NOT NULL) WITHOUT ROWID;
