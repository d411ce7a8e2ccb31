-- An endpoint's transformations.
-- columns
t.version, t.created_at_ms, CASE WHEN :with_code THEN t.code END
-- from
transformations AS t
-- of
t.endpoint_seq = :endpoint_seq
-- place
t.version
