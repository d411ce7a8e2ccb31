-- Which person an event is about, and what was sent although something is wrong with it.
-- Oldest version that may run on it: 11

-- === Deliveries with warnings ===

-- warned: the attempt that succeeded had warnings; only meant where the state is success. NULL: not known, of deliveries
-- that a version before has finished.
ALTER TABLE deliveries ADD COLUMN warned INTEGER;
CREATE INDEX deliveries_warned ON deliveries (endpoint_seq, message_seq) WHERE warned;
-- warned: how many of the attempts that succeeded had warnings.
ALTER TABLE tallies ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;
