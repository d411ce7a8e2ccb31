-- Finished deliveries of an endpoint that match a filter; those that the task has already moved are left out.
{replayable}
ORDER BY d.message_seq LIMIT :limit
