-- Where a look at so many of an endpoint's tries ends, oldest first: the last that is looked at, and the first that is not.
SELECT a.id FROM endpoints AS e CROSS JOIN attempts AS a ON a.endpoint_seq = e.seq
WHERE e.id = :endpoint_id AND a.id > :above AND a.id < :below
ORDER BY a.id LIMIT 2 OFFSET :look - 1
