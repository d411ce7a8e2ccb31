-- The number up to which no message can appear any more: the newest one given, or the lowest one announced by a transaction
-- under way. A transaction that announces between the two looks gets higher numbers, since the second look needs the result
-- of the first. What is read with a later snapshot has all messages up to that number.
SELECT least(given.seq, (
    -- An announcement has the lower 31 bits of a number that is close to the newest one.
    SELECT min(given.seq - ((given.seq - CAST(l.objid AS bigint) + 1073741824) & 2147483647) + 1073741824)
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.classid = 1851941246 AND l.objsubid = 2
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
))
FROM (SELECT {newest_number} AS seq FROM messages_seq_seq AS n OFFSET 0) AS given
