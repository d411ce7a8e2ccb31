-- All deliveries of an endpoint without an identity are looked at again.
UPDATE unidentified SET checked = -1 WHERE endpoint_seq = :endpoint_seq
