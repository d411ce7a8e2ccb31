matches_any(:pattern, $)
