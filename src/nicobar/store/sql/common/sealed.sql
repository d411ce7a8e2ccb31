-- Every stored secret with what it was sealed for.
{sealed_values};
