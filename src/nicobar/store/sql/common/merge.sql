-- One merge of people.
SELECT {merge} FROM merges WHERE id = :id
