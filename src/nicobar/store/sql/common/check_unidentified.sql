-- A delivery without an identity was looked at, when a fact had been stated so often.
UPDATE unidentified SET checked = :news, late = late OR since_ms <= :late_ms
WHERE message_seq = :message_seq AND endpoint_seq = :endpoint_seq AND key = :key
