-- When retention was last through, and what it took last.
SELECT ended_at_ms, took_at_ms, emptied, forgotten FROM clean_ups
