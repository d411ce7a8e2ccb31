-- The next stored secrets, by what they were sealed for, whose first bytes are others than those that a key begins with.
SELECT purpose, content, place, id FROM ({sealed_values}) AS sealed
WHERE purpose > :after AND substr(content, 1, CAST(:prefix_bytes AS integer)) <> :prefix ORDER BY purpose LIMIT :limit;
