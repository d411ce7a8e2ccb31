-- The endpoints that are not removed, each with its newest transformation.
{endpoint}WHERE NOT e.removed ORDER BY e.seq
