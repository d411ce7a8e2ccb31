-- When retention last finished, and what it last deleted.
SELECT ended_at_ms, took_at_ms, emptied, forgotten FROM clean_ups
