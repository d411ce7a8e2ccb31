-- Which person an event is about, and what was sent although something is wrong with it.
-- Oldest version that may run on it: 11

-- === Deliveries with warnings ===

-- warned: the attempt that succeeded had warnings; only meant where the state is success. NULL: not known, of deliveries
-- that a version before has finished.
ALTER TABLE deliveries ADD COLUMN warned INTEGER;
CREATE INDEX deliveries_warned ON deliveries (endpoint_seq, message_seq) WHERE warned;
-- warned: how many of the attempts that succeeded had warnings.
ALTER TABLE tallies ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;

-- === Merges ===

-- Two people at a destination who are one customer are merged when a user asks for it. rule: what identified people then.
-- reason: why it waits, or was stopped.
CREATE TABLE merges (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    app_id TEXT NOT NULL,
    endpoint_seq INTEGER NOT NULL,
    endpoint_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX merges_running ON merges (endpoint_seq) WHERE status = 'running';
CREATE INDEX merges_of_endpoint ON merges (endpoint_seq, seq);

-- changed_at_ms: when it got into its state, 0 at first.
CREATE TABLE merge_pairs (
    merge_seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    customer_key TEXT NOT NULL,
    secondary_kind TEXT NOT NULL,
    secondary_value TEXT NOT NULL,
    primary_kind TEXT NOT NULL,
    primary_value TEXT NOT NULL,
    state TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (merge_seq, number)
) WITHOUT ROWID;
CREATE INDEX merge_pairs_to_do ON merge_pairs (merge_seq, state, number) WHERE state IN ('waiting', 'identified');
CREATE INDEX merge_pairs_merged ON merge_pairs (secondary_value) WHERE state = 'merged';

-- === Facts ===

-- Since this version messages state facts, of customers too. content: the fields by the place of the event that said them,
-- see `facts.py`. parent_key: the payment of a refund or dispute.
ALTER TABLE facts ADD COLUMN parent_key TEXT;
CREATE INDEX facts_of_payment ON facts (app_id, parent_key) WHERE parent_key IS NOT NULL AND customer_key IS NULL;

-- === Deliveries without an identity ===

-- The facts for which canceled deliveries wait that needed to know who their customer is; key is empty for one that waits for
-- none. news: how often a fact was stated since, checked: how often when the delivery was last looked at; late: whether it was
-- looked at when every transaction that was open at its end had ended.
CREATE TABLE unidentified (
    message_seq INTEGER NOT NULL,
    endpoint_seq INTEGER NOT NULL,
    key TEXT NOT NULL,
    app_id TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    news INTEGER NOT NULL,
    checked INTEGER NOT NULL,
    late INTEGER NOT NULL,
    PRIMARY KEY (message_seq, endpoint_seq, key)
) WITHOUT ROWID;
CREATE INDEX unidentified_by_key ON unidentified (app_id, key);
CREATE INDEX unidentified_of_endpoint ON unidentified (endpoint_seq, message_seq);
CREATE INDEX unidentified_news ON unidentified (endpoint_seq) WHERE news > checked;
CREATE INDEX unidentified_late ON unidentified (endpoint_seq, since_ms) WHERE NOT late;
-- What waits for a fact is looked at again once it says something else than before, other than in its first place: a customer
-- may have many events that nobody is identified for.
CREATE TRIGGER facts_added AFTER INSERT ON facts BEGIN
    UPDATE unidentified SET news = news + 1 WHERE app_id = new.app_id AND key = new.key;
END;
CREATE TRIGGER facts_changed AFTER UPDATE ON facts
WHEN substr(new.content, instr(new.content, '":{')) <> substr(old.content, instr(old.content, '":{')) BEGIN
    UPDATE unidentified SET news = news + 1 WHERE app_id = new.app_id AND key = new.key;
END;

-- === Customers with one address ===

-- email: of a customer, the newest address as `people.py` compares it.
ALTER TABLE facts ADD COLUMN email TEXT;
CREATE INDEX facts_by_email ON facts (app_id, email) WHERE email IS NOT NULL;

-- === Facts of earlier messages ===

-- How far the facts are rebuilt from the messages that were stored before, in the background. The only row has id 1.
CREATE TABLE fact_rebuilds (
    id INTEGER PRIMARY KEY,
    after_seq INTEGER NOT NULL,
    until_seq INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    ended_at_ms INTEGER
);
INSERT INTO fact_rebuilds (id, after_seq, until_seq, messages) SELECT 1, 0, max(seq), 0 FROM messages HAVING max(seq) > 0;
