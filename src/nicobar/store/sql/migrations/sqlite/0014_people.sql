-- Which person an event is about, and what was sent although something is wrong with it.
-- Oldest version that may run on it: 11

-- === Deliveries with warnings ===

-- warned: the attempt that succeeded had warnings; only meant where the state is success. NULL: not known, of deliveries
-- that a version before has finished.
ALTER TABLE deliveries ADD COLUMN warned INTEGER;
CREATE INDEX deliveries_warned ON deliveries (endpoint_seq, message_seq) WHERE warned;
-- warned: how many of the attempts that succeeded had warnings.
ALTER TABLE tallies ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;

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
