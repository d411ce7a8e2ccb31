-- The number up to which no message can appear any more: there is one writer, so messages appear in the order of their
-- numbers.
SELECT 9223372036854775806
