-- What the ids of a delivery's events depend on.

-- replay_key: the id of the replay that requested new ids last, or a name for the resend that did; empty for none. NULL:
-- the delivery is of an earlier version, and its retries keep the ids that it derived by the edition.
ALTER TABLE deliveries ADD COLUMN replay_key TEXT;
