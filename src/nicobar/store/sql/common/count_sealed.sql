-- How many sealed values do not begin with the bytes that a key begins with.
SELECT
    (SELECT count(*) FROM ({sealed_values}) AS sealed WHERE substr(content, 1, CAST(:prefix_bytes AS integer)) <> :prefix)
    + (SELECT count(*) FROM answers WHERE length(body) > 0 AND substr(body, 1, CAST(:prefix_bytes AS integer)) <> :prefix);
