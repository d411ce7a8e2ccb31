-- Where a look at so many of an endpoint's failed deliveries ends, oldest first: the last that is looked at, and the first that is not.
SELECT d.message_seq
FROM endpoints AS e CROSS JOIN deliveries AS d ON d.endpoint_seq = e.seq AND d.state = 'failed'
WHERE e.id = :endpoint_id AND d.message_seq > :above AND d.message_seq < :below
ORDER BY d.message_seq LIMIT 2 OFFSET :look - 1
