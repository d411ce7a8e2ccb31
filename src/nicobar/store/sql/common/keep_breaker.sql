-- Stores an endpoint's breaker, if the lease of its endpoint still has that term.
INSERT INTO breakers (endpoint_seq, content)
SELECT :endpoint_seq, :content WHERE {lease_has_term}
ON CONFLICT (endpoint_seq) DO UPDATE SET content = excluded.content
