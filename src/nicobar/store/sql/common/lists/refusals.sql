-- The requests that a source rejected.
-- columns
seq, source_id, at_ms, status, code, detail, event_id
-- from
refusals
-- of
source_id = :source_id
-- place
seq
