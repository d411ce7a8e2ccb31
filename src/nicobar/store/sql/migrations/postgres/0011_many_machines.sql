-- Several workers.

-- beat: rises while the worker runs; a worker whose beat stands still is removed by another one.
CREATE TABLE workers (id text COLLATE "C" PRIMARY KEY, beat bigint NOT NULL) WITH (fillfactor = 50);

-- holder: a worker, '' where nobody has the lease; a holder that is no longer a worker does not hold it.
-- term: rises with each change of the holder.
CREATE TABLE leases (name text COLLATE "C" PRIMARY KEY, holder text COLLATE "C" NOT NULL, term bigint NOT NULL);
