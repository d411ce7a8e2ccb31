-- Who may do what, and what is kept of it.
-- Oldest version that may run on it: 11

-- === Keys of secrets ===

-- The keys that the key of `installation` has replaced. Each is needed until unused_since_ms is set: until then
-- something may still be sealed with it.
CREATE TABLE replaced_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    replaced_at_ms bigint NOT NULL,
    unused_since_ms bigint
);
