-- What canceling a replay gives back.

-- was: what a replay has found, until it is tried again: a JSON object of the columns that the replay has changed, {}
-- where there was no delivery.
ALTER TABLE deliveries ADD COLUMN was TEXT;
CREATE INDEX deliveries_replayed ON deliveries (task_seq, message_seq) WHERE was IS NOT NULL;
