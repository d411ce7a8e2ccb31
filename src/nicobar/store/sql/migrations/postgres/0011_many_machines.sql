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

-- holder: a worker, '' where nobody has the lease; a holder that is no longer a worker does not hold it.
-- term: rises with each change of the holder.
CREATE TABLE leases (name text COLLATE "C" PRIMARY KEY, holder text COLLATE "C" NOT NULL, term bigint NOT NULL);

-- === Customers of messages ===

-- The customer's email address and name, read from the body when it was accepted, so that it is not read again for each
-- delivery. Empty text: the event has none. NULL: to be read from the body, which an earlier version has stored or which
-- has what the database cannot store; also of an expunged message.
ALTER TABLE messages ADD COLUMN customer_email text;
ALTER TABLE messages ADD COLUMN customer_name text;
