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

-- === Keys of secrets ===

-- The keys that the key of `installation` has replaced. Each is needed until unused_since_ms is set: until then
-- something may still be sealed with it.
CREATE TABLE replaced_keys (
    key_id TEXT PRIMARY KEY,
    replaced_at_ms INTEGER NOT NULL,
    unused_since_ms INTEGER
) WITHOUT ROWID;

-- === Secret variables, and headers that are no secrets ===

-- sealed_variables: the secret variables, an encrypted JSON object; variable_references: the environment variables that
-- they came from; public_headers: the names of headers that everybody may see. Versions before leave them as they are.
ALTER TABLE endpoints ADD COLUMN sealed_variables BLOB NOT NULL DEFAULT x'';
ALTER TABLE endpoints ADD COLUMN variable_references TEXT NOT NULL DEFAULT '{}';
ALTER TABLE endpoints ADD COLUMN public_headers TEXT NOT NULL DEFAULT '[]';
