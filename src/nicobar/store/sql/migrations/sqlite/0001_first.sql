-- The queue and the catalogue of the first version.

CREATE TABLE applications (
    id TEXT PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE
) WITHOUT ROWID;

CREATE TABLE sources (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES applications (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,
    sealed_secrets BLOB NOT NULL,
    secret_references TEXT NOT NULL,
    UNIQUE (app_id, name)
) WITHOUT ROWID;

CREATE TABLE endpoints (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    app_id TEXT NOT NULL REFERENCES applications (id),
    name TEXT NOT NULL,
    connector TEXT NOT NULL,
    settings TEXT NOT NULL,
    sealed_credentials BLOB NOT NULL,
    credential_references TEXT NOT NULL,
    event_types TEXT NOT NULL,
    variables TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    paused_reason TEXT,
    removed INTEGER NOT NULL DEFAULT 0
);

CREATE UNIQUE INDEX endpoints_by_name ON endpoints (app_id, name) WHERE removed = 0;

CREATE TABLE transformations (
    endpoint_seq INTEGER NOT NULL REFERENCES endpoints (seq),
    version INTEGER NOT NULL,
    code TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (endpoint_seq, version)
);

CREATE TABLE event_types (
    app_id TEXT NOT NULL REFERENCES applications (id),
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (app_id, name)
) WITHOUT ROWID;

CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER
) WITHOUT ROWID;

CREATE TABLE catalogue (version INTEGER NOT NULL);
INSERT INTO catalogue (version) VALUES (1);

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    app_id TEXT NOT NULL,
    source_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    customer_key TEXT,
    occurred_at_ms INTEGER NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (app_id, event_id)
);

-- due_at_ms: when it may be claimed; while it is being sent, when its lease ends; NULL while it waits behind an
-- earlier one of its customer, and once it is finished.
CREATE TABLE deliveries (
    message_seq INTEGER NOT NULL,
    endpoint_seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    due_at_ms INTEGER,
    customer_key TEXT,
    reason TEXT,
    PRIMARY KEY (message_seq, endpoint_seq)
) WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (endpoint_seq, due_at_ms, message_seq) WHERE due_at_ms IS NOT NULL;
CREATE INDEX deliveries_unfinished ON deliveries (endpoint_seq, customer_key, message_seq)
    WHERE state IN ('pending', 'sending');

CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    message_seq INTEGER NOT NULL,
    endpoint_seq INTEGER NOT NULL,
    content BLOB NOT NULL
);

CREATE INDEX attempts_of_delivery ON attempts (message_seq, endpoint_seq);
