-- Messages of certain customers without a delivery for an endpoint, whose messages alone are read.
{replayable_missing_of_customers}
ORDER BY m.seq LIMIT :limit
