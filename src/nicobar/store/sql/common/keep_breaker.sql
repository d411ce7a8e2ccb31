-- Stores an endpoint's breaker.
INSERT INTO breakers (endpoint_seq, content) VALUES (:endpoint_seq, :content)
ON CONFLICT (endpoint_seq) DO UPDATE SET content = excluded.content
