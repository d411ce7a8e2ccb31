-- An attempt as it is stored.
SELECT content FROM attempts WHERE id = :id
