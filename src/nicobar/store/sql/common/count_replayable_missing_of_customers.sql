-- Counts what a replay would move: deliveries, those with earlier ids, the oldest message, customers, those overtaken.
{count_of replayable_missing_of_customers}
