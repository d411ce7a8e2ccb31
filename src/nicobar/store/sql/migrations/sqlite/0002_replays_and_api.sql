-- Replays, the breaker, retention, and what the API keeps.

-- position: the order among a customer's deliveries of an endpoint. A live one stands at message_seq * 2^20, a replayed
-- one behind everything that was there when it was asked for.
-- edition: how often ids of its own were asked for. task_seq: the replay that moved it last. manual: 1 after a resend or
-- a replay. failure: what equal failures have in common.
ALTER TABLE deliveries ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN edition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN manual INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN task_seq INTEGER;
ALTER TABLE deliveries ADD COLUMN failure TEXT;
ALTER TABLE deliveries ADD COLUMN ended_at_ms INTEGER;
UPDATE deliveries SET position = message_seq << 20;
UPDATE deliveries SET failure = coalesce(reason, 'unknown') WHERE state = 'failed';

DROP INDEX deliveries_unfinished;
CREATE INDEX deliveries_unfinished ON deliveries (endpoint_seq, customer_key, position, message_seq)
    WHERE state IN ('pending', 'sending');
CREATE INDEX deliveries_failed ON deliveries (endpoint_seq, failure, message_seq) WHERE state = 'failed';

ALTER TABLE messages ADD COLUMN channels TEXT NOT NULL DEFAULT '[]';
ALTER TABLE messages ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE messages ADD COLUMN params TEXT;
ALTER TABLE messages ADD COLUMN deliver_at_ms INTEGER;
ALTER TABLE messages ADD COLUMN expunged_at_ms INTEGER;
CREATE INDEX messages_scheduled ON messages (deliver_at_ms) WHERE deliver_at_ms IS NOT NULL;
CREATE INDEX messages_of_customer ON messages (app_id, customer_key, seq) WHERE customer_key IS NOT NULL;

ALTER TABLE attempts ADD COLUMN state TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN status INTEGER;
ALTER TABLE attempts ADD COLUMN manual INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN started_at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE attempts SET state = CASE
    WHEN id = (SELECT max(id) FROM attempts AS a
        WHERE a.message_seq = attempts.message_seq AND a.endpoint_seq = attempts.endpoint_seq)
    THEN coalesce((SELECT d.state FROM deliveries AS d
        WHERE d.message_seq = attempts.message_seq AND d.endpoint_seq = attempts.endpoint_seq), 'failed')
    ELSE 'pending' END;
DROP INDEX attempts_of_delivery;
CREATE INDEX attempts_of_delivery ON attempts (message_seq, endpoint_seq, id);
CREATE INDEX attempts_of_endpoint ON attempts (endpoint_seq, id);

-- uid: the merchant's own id for it, unique per kind and application; an application without one has its id there.
ALTER TABLE applications ADD COLUMN content TEXT NOT NULL DEFAULT '{}';
ALTER TABLE applications ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN uid TEXT;
ALTER TABLE endpoints ADD COLUMN disabled_reason TEXT;
ALTER TABLE endpoints ADD COLUMN max_messages_per_s INTEGER;
ALTER TABLE endpoints ADD COLUMN content TEXT NOT NULL DEFAULT '{}';
ALTER TABLE endpoints ADD COLUMN sealed_headers BLOB NOT NULL DEFAULT x'';
CREATE UNIQUE INDEX endpoints_by_uid ON endpoints (app_id, uid) WHERE removed = 0 AND uid IS NOT NULL;
ALTER TABLE sources ADD COLUMN uid TEXT;
ALTER TABLE sources ADD COLUMN content TEXT NOT NULL DEFAULT '{}';
CREATE UNIQUE INDEX sources_by_uid ON sources (uid) WHERE uid IS NOT NULL;

-- Event types are everybody's: their names come from the senders.
CREATE TABLE all_event_types (name TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO all_event_types SELECT name, content FROM event_types;
DROP TABLE event_types;
ALTER TABLE all_event_types RENAME TO event_types;

-- scope: admin, application (of app_id) or read_only.
CREATE TABLE all_tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    app_id TEXT,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    revoked_at_ms INTEGER,
    last_used_at_ms INTEGER
) WITHOUT ROWID;
INSERT INTO all_tokens (id, name, sha256, scope, created_at_ms, revoked_at_ms)
    SELECT 'tok_' || substr(sha256, 1, 27), name, sha256, 'admin', created_at_ms, revoked_at_ms FROM tokens;
DROP TABLE tokens;
ALTER TABLE all_tokens RENAME TO tokens;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    app_id TEXT,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- Answers to requests with an idempotency-key, by token and key; request is the SHA-256 of method, path and body.
CREATE TABLE answers (
    token_id TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (token_id, key)
) WITHOUT ROWID;
CREATE INDEX answers_by_age ON answers (at_ms);

-- Requests that a source refused, the latest ones only.
CREATE TABLE refusals (
    seq INTEGER PRIMARY KEY,
    source_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    status INTEGER NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    event_id TEXT NOT NULL
);
CREATE INDEX refusals_of_source ON refusals (source_id, seq);

-- Counted up to find out whether a write can be kept: one that changes nothing is not written at all.
ALTER TABLE catalogue ADD COLUMN checks INTEGER NOT NULL DEFAULT 0;

-- One endpoint's breaker, as a restart finds it.
CREATE TABLE breakers (
    endpoint_seq INTEGER PRIMARY KEY,
    content TEXT NOT NULL
);

-- Replays of the messages up to until_seq; those up to after_seq have been looked at.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    app_id TEXT NOT NULL,
    endpoint_seq INTEGER NOT NULL,
    endpoint_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    filter TEXT NOT NULL,
    new_ids INTEGER NOT NULL,
    after_seq INTEGER NOT NULL,
    until_seq INTEGER NOT NULL,
    expected INTEGER NOT NULL,
    moved INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
);
CREATE INDEX tasks_running ON tasks (seq) WHERE status IN ('running', 'canceling');

