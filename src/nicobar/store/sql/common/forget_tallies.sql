-- Deletes old counts.
DELETE FROM tallies WHERE (endpoint_seq, at_ms, event_type, state) IN (
    SELECT t.endpoint_seq, t.at_ms, t.event_type, t.state
    FROM endpoints AS e {then_join} tallies AS t ON t.endpoint_seq = e.seq WHERE t.at_ms < :before_ms LIMIT :limit
)
