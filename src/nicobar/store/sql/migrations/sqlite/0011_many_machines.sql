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

-- holder: a worker, '' where nobody has the lease; a holder that is no longer a worker does not hold it.
-- term: rises with each change of the holder.
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, term INTEGER NOT NULL) WITHOUT ROWID;

-- === Customers of messages ===

-- The customer's email address and name, read from the body when it was accepted, so that it is not read again for each
-- delivery. Empty text: the event has none. NULL: to be read from the body, which an earlier version has stored or which
-- has what the database cannot store; also of an expunged message.
ALTER TABLE messages ADD COLUMN customer_email TEXT;
ALTER TABLE messages ADD COLUMN customer_name TEXT;
