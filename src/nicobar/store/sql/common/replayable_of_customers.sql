-- Finished deliveries of certain customers, whose messages alone are read.
{replayable_of_customers}
ORDER BY m.seq LIMIT :limit
