-- Stores that the data is moving.
INSERT INTO moves (id, state, place, installation_id, changed_at_ms)
VALUES (1, :state, :place, :installation_id, :changed_at_ms)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, place = excluded.place,
    installation_id = excluded.installation_id, changed_at_ms = excluded.changed_at_ms
