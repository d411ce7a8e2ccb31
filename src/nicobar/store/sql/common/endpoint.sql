-- One endpoint that is not removed, with its newest transformation.
{endpoint}WHERE e.id = :id AND NOT e.removed
