-- Messages of an application without a delivery for an endpoint that match a filter.
{replayable_missing}
ORDER BY m.seq LIMIT :limit
