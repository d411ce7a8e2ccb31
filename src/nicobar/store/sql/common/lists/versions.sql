-- An endpoint's transformations.
-- columns
t.version, t.created_at_ms, CASE WHEN :with_code THEN t.code END
-- from
endpoints AS e {then_join} transformations AS t ON t.endpoint_seq = e.seq
-- where
e.id = :endpoint_id
-- place
t.version
