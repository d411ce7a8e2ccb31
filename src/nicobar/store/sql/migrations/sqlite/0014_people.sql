-- Which person an event is about, and what was sent although something is wrong with it.
-- Oldest version that may run on it: 11

-- === Deliveries with warnings ===

-- warned: the attempt that succeeded had warnings; only meant where the state is success. NULL: not known, of deliveries
-- that a version before has finished.
ALTER TABLE deliveries ADD COLUMN warned INTEGER;
CREATE INDEX deliveries_warned ON deliveries (endpoint_seq, message_seq) WHERE warned;
-- warned: how many of the attempts that succeeded had warnings.
ALTER TABLE tallies ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;

-- === Facts ===

-- Since this version messages state facts, of customers too. content: the fields by the place of the event that said them,
-- see `facts.py`. parent_key: the payment of a refund or dispute.
ALTER TABLE facts ADD COLUMN parent_key TEXT;
CREATE INDEX facts_of_payment ON facts (app_id, parent_key) WHERE parent_key IS NOT NULL AND customer_key IS NULL;

-- === Customers with one address ===

-- email: of a customer, the newest address as `people.py` compares it.
ALTER TABLE facts ADD COLUMN email TEXT;
CREATE INDEX facts_by_email ON facts (app_id, email) WHERE email IS NOT NULL;
