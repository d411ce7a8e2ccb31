-- The number up to which no message can appear any more: the newest one given, or the lowest one announced by a transaction
-- under way. A transaction that announces between the two looks gets higher numbers, since the second look needs the result
-- of the first. What is read with a later snapshot has all messages up to that number.
-- A version before 11 announces nothing, and has undone after 20 s what it did not commit. While one of its transactions is
-- under way, for a minute at most, only messages that were accepted a minute ago are counted.
SELECT least(given.seq, (
    -- An announcement has the lower 31 bits of a number that is close to the newest one.
    SELECT min(given.seq - ((given.seq - CAST(l.objid AS bigint) + 1073741824) & 2147483647) + 1073741824)
    FROM pg_locks AS l
    WHERE {is_announcement}
), CASE WHEN EXISTS (
    SELECT 1 FROM pg_locks AS w JOIN pg_stat_activity AS a ON a.pid = w.pid
    WHERE w.locktype = 'relation' AND w.relation = CAST('messages' AS regclass) AND w.mode = 'RowExclusiveLock'
        AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND a.application_name = 'nicobar' AND a.xact_start > clock_timestamp() - INTERVAL '60 s'
        AND NOT EXISTS (SELECT 1 FROM pg_locks AS l WHERE l.pid = w.pid AND {is_announcement})
        AND given.seq > 0
) THEN coalesce((
    SELECT seq FROM messages WHERE accepted_at_ms < {now_ms} - 60000 ORDER BY seq DESC LIMIT 1
), 0) END)
FROM (SELECT {newest_number} AS seq FROM messages_seq_seq AS n OFFSET 0) AS given
