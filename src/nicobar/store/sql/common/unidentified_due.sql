-- What is to be looked at again of an endpoint's deliveries without an identity: whose facts were stated since, and once what
-- is so old that no transaction of that time is still open.
SELECT message_seq, key, news FROM (
    SELECT message_seq, key, news FROM unidentified WHERE endpoint_seq = :endpoint_seq AND news > checked
    UNION
    SELECT message_seq, key, news FROM unidentified WHERE endpoint_seq = :endpoint_seq AND NOT late AND since_ms <= :late_ms
) AS u ORDER BY message_seq LIMIT :limit
