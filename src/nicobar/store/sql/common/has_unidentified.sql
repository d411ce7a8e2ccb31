-- Whether deliveries of an endpoint wait for an identity.
SELECT 1 FROM unidentified WHERE endpoint_seq = :endpoint_seq LIMIT 1
