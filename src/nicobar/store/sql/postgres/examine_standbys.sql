-- Whether the user may see standbys, how many there are, and for how many of them a commit waits.
SELECT pg_has_role('pg_read_all_stats', 'USAGE'), count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum'))
FROM pg_stat_replication
