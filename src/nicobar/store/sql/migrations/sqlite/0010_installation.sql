-- Which installation this is, and which key seals its secrets. There is at most one row.

-- key_id: a hash that names the key and tells nothing about it.
CREATE TABLE installation (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    installation_id TEXT NOT NULL,
    key_id TEXT NOT NULL
);
