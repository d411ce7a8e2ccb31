-- Where a look at so many of a customer's messages ends, oldest first: the last that is looked at, and the first that is not.
SELECT seq FROM messages
WHERE app_id = :app_id AND customer_key = :customer_key AND seq > :above AND seq < :below
ORDER BY seq LIMIT 2 OFFSET :look - 1
