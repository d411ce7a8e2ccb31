-- The dashboard: who signs in, where they are signed in, and what is being made.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- The one link that sets the owner's password; there is at most one row.
CREATE TABLE setup_links (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sha256 TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
);

CREATE TABLE sessions (
    sha256 TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE drafts (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    sealed_credentials BLOB NOT NULL,
    content TEXT NOT NULL
) WITHOUT ROWID;
