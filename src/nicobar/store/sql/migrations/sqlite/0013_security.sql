-- Who may do what, and what is kept of it.
-- Oldest version that may run on it: 11

-- === Sign-in ===

-- Sign-in with OpenID Connect: the user of a provider's subject.
CREATE TABLE user_identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;

CREATE INDEX user_identities_of_user ON user_identities (user_id);

-- === Personal data ===

-- The backups that `nicobar backup` made of this database: they keep what is deleted later.
CREATE TABLE backups (path TEXT PRIMARY KEY, taken_at_ms INTEGER NOT NULL) WITHOUT ROWID;
-- For deleting a customer's ids.
CREATE INDEX sent_keys_by_message ON sent_keys (message_id);
