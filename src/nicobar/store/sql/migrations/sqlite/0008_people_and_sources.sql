-- The end of a source's older secret, links that set anybody's password, and what retention took last.

ALTER TABLE sources ADD COLUMN older_until_ms INTEGER;

-- The one link that sets the password of a user of that name, who need not be there yet.
CREATE TABLE links (
    name TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO links (name, sha256, role, created_at_ms, expires_at_ms)
SELECT 'owner', sha256, 'owner', 0, expires_at_ms FROM setup_links;

DROP TABLE setup_links;

-- There is at most one row.
CREATE TABLE clean_ups (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    ended_at_ms INTEGER NOT NULL,
    took_at_ms INTEGER,
    emptied INTEGER NOT NULL,
    forgotten INTEGER NOT NULL
);
