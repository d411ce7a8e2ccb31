-- Counts what a replay would move: deliveries, those with earlier ids, the oldest message, customers, those overtaken.
{count_of replayable_of_customers}
