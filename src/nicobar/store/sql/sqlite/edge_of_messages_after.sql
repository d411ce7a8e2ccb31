-- Where a look at so many of an application's messages ends, oldest first: the last that is looked at, and the first that is not.
SELECT seq FROM messages
WHERE app_id = :app_id AND seq > :above AND seq < :below
ORDER BY seq LIMIT 2 OFFSET :look - 1
