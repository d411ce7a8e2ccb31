-- === A move to another database ===

-- state: filling (a copy of another database, not whole yet), draining (no new events), closed (nothing is written) or
-- moved. place: the other database, without a password. installation_id: whose data it is. There is at most one row.
CREATE TABLE moves (
    id bigint PRIMARY KEY CHECK (id = 1),
    state text COLLATE "C" NOT NULL,
    place text COLLATE "C" NOT NULL,
    installation_id text COLLATE "C" NOT NULL,
    changed_at_ms bigint NOT NULL
);
