-- Announces that this transaction may store messages, with numbers above the newest one given so far. The announcement is a
-- lock that conflicts with nothing and ends with the transaction, once what it has stored is visible.
SELECT pg_advisory_xact_lock_shared(1851941246, CAST({newest_number} & 2147483647 AS integer))
FROM messages_seq_seq AS n
