-- Up to when all attempts that ended are stored: one process stores them, in the order of their ids.
SELECT 9223372036854775806
