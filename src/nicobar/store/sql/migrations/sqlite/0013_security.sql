-- Who may do what, and what is kept of it.
-- Oldest version that may run on it: 11

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
