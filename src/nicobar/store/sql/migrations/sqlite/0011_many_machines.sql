-- What several machines over one database, and deliveries that survive more, need.
-- Oldest version that may run on it: 10

-- === Counters of the queue ===

-- How many deliveries of an endpoint are pending and how many are being sent: the sums over its slots, of which there is
-- one, 0, as there is one writer. Triggers keep them, since versions of before write to this database too, and a count
-- that is forgotten once is wrong for good.
CREATE TABLE queue_counts (
    endpoint_seq INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    sending INTEGER NOT NULL,
    PRIMARY KEY (endpoint_seq, slot)
) WITHOUT ROWID;

-- The oldest message of an endpoint that is not finished, and pages of those.
CREATE INDEX deliveries_unfinished_in_order ON deliveries (endpoint_seq, message_seq)
    WHERE state IN ('pending', 'sending');

CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries WHEN new.state IN ('pending', 'sending') BEGIN
    INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
    VALUES (new.endpoint_seq, 0, new.state = 'pending', new.state = 'sending')
    ON CONFLICT (endpoint_seq, slot) DO UPDATE SET pending = queue_counts.pending + excluded.pending,
        sending = queue_counts.sending + excluded.sending;
END;
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries WHEN old.state IN ('pending', 'sending') BEGIN
    UPDATE queue_counts SET pending = pending - (old.state = 'pending'), sending = sending - (old.state = 'sending')
    WHERE endpoint_seq = old.endpoint_seq AND slot = 0;
END;
-- An endpoint whose delivery is changed has its row, or gets it here: it has had none that was not finished.
CREATE TRIGGER deliveries_changed AFTER UPDATE OF state ON deliveries WHEN new.state <> old.state BEGIN
    INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
    VALUES (new.endpoint_seq, 0, (new.state = 'pending') - (old.state = 'pending'),
        (new.state = 'sending') - (old.state = 'sending'))
    ON CONFLICT (endpoint_seq, slot) DO UPDATE SET pending = queue_counts.pending + excluded.pending,
        sending = queue_counts.sending + excluded.sending;
END;
INSERT INTO queue_counts (endpoint_seq, slot, pending, sending)
SELECT endpoint_seq, 0, sum(state = 'pending'), sum(state = 'sending')
FROM deliveries WHERE state IN ('pending', 'sending') GROUP BY endpoint_seq;
