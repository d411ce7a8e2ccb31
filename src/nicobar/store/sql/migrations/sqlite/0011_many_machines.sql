-- What several machines over one database, and deliveries that survive more, need.
-- Oldest version that may run on it: 10

-- === Messages ===

-- Other bodies that a source sent under an event id that it had used: nothing is sent for them.
CREATE TABLE message_revisions (
    message_seq INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (message_seq, sha256)
);

-- === Deliveries ===

-- customer_key is the key of its order: fixed when the delivery is made, whatever its message or endpoint say later.
-- accepted_ids: the event ids that the destination has accepted, a JSON array.
ALTER TABLE deliveries ADD COLUMN accepted_ids TEXT;
-- half_sent: of an attempt that ended without success after a request had left: its calls, the version of the
-- transformation and the customer, which the next attempt repeats.
ALTER TABLE deliveries ADD COLUMN half_sent BLOB;

-- Event ids that were made of a natural key, and accepted: by which workspace of the destination, of which message.
-- Kept for longer than messages.
CREATE TABLE sent_keys (
    workspace TEXT NOT NULL,
    event_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    PRIMARY KEY (workspace, event_id)
) WITHOUT ROWID;
CREATE INDEX sent_keys_by_age ON sent_keys (sent_at_ms);

-- === Facts ===

-- The latest that messages have stated about payments, refunds, disputes and subscriptions. key: the source's kind, the
-- mode, what it is and its id, joined by slashes. content: the fact in the form that all sources share, and what decides
-- whether another one is newer, as JSON.
CREATE TABLE facts (
    app_id TEXT NOT NULL,
    key TEXT NOT NULL,
    customer_key TEXT,
    occurred_at_ms INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (app_id, key)
) WITHOUT ROWID;
CREATE INDEX facts_of_customer ON facts (app_id, customer_key) WHERE customer_key IS NOT NULL;

-- === Workers ===

-- beat: rises while the worker runs; a worker whose beat stands still is removed by another one.
CREATE TABLE workers (id TEXT PRIMARY KEY, beat INTEGER NOT NULL) WITHOUT ROWID;

-- holder: a worker, '' where no worker has the lease; a holder that is no longer a worker does not hold it.
-- term: rises with each change of the holder.
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, term INTEGER NOT NULL) WITHOUT ROWID;

-- === Customers of messages ===

-- The customer's email address and name, read from the body when it was accepted, so that it is not read again for each
-- delivery. Empty text: the event has none. NULL: to be read from the body, which an earlier version has stored or which
-- has what the database cannot store; also of an expunged message.
ALTER TABLE messages ADD COLUMN customer_email TEXT;
ALTER TABLE messages ADD COLUMN customer_name TEXT;

-- === Counters of the queue ===

-- How many deliveries of an endpoint are pending and how many are being sent: the sums over its slots, of which there is
-- one, 0, as there is one writer. Triggers keep them, since versions of before write to this database too, and a count
-- that is forgotten once is wrong for good.
CREATE TABLE queue_counts (
    endpoint_seq INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    sending INTEGER NOT NULL,
    PRIMARY KEY (endpoint_seq, slot)
) WITHOUT ROWID;

-- The oldest message of an endpoint that is not finished, and pages of those.
CREATE INDEX deliveries_unfinished_in_order ON deliveries (endpoint_seq, message_seq)
    WHERE state IN ('pending', 'sending');

CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries WHEN new.state IN ('pending', 'sending') BEGIN
    INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
    VALUES (new.endpoint_seq, 0, new.state = 'pending', new.state = 'sending')
    ON CONFLICT (endpoint_seq, slot) DO UPDATE SET pending = queue_counts.pending + excluded.pending,
        sending = queue_counts.sending + excluded.sending;
END;
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries WHEN old.state IN ('pending', 'sending') BEGIN
    UPDATE queue_counts SET pending = pending - (old.state = 'pending'), sending = sending - (old.state = 'sending')
    WHERE endpoint_seq = old.endpoint_seq AND slot = 0;
END;
-- An endpoint whose delivery is changed has its row, or gets it here: it has had none that was not finished.
CREATE TRIGGER deliveries_changed AFTER UPDATE OF state ON deliveries WHEN new.state <> old.state BEGIN
    INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
    VALUES (new.endpoint_seq, 0, (new.state = 'pending') - (old.state = 'pending'),
        (new.state = 'sending') - (old.state = 'sending'))
    ON CONFLICT (endpoint_seq, slot) DO UPDATE SET pending = queue_counts.pending + excluded.pending,
        sending = queue_counts.sending + excluded.sending;
END;
INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
SELECT endpoint_seq, 0, sum(state = 'pending'), sum(state = 'sending')
FROM deliveries WHERE state IN ('pending', 'sending') GROUP BY endpoint_seq;

-- === A move to another database ===

-- state: filling (a copy of another database, not whole yet), draining (no new events), closed (nothing is written) or
-- moved. place: the other database, without a password. installation_id: whose data it is. There is at most one row.
CREATE TABLE moves (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL,
    place TEXT NOT NULL,
    installation_id TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL
);
